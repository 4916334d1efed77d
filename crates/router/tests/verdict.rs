//! `check` and a start are of one mind: what the one calls wrong the other refuses, in the same words, and what the one
//! calls right the other runs. What users are told stands here word for word.

mod stage;

use metlog_http::server::DialectEntry;
use metlog_pipeline::FilterEntry;
use metlog_router::config;
use stage::{Directory, eventually};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// What is said of a configuration in order: nothing.
const RIGHT: &str = "";

/// Programs at one time. They mostly wait for the disk.
const AT_ONCE: usize = 4;

/// Configurations, and the first line of what is said about them; `<inputs>` and the like stand for the names of all
/// there are, so that another plugin changes nothing here.
#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    // The whole file.
    ("", RIGHT),
    ("# nothing but a comment\n", RIGHT),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\n[endpoints.out]\ntype = 'null'\n", RIGHT),
    ("a = [\n", "r.toml:3:1: missing comma between array elements, expected `,`"),
    ("[inputs.tcp\nlisten = '127.0.0.1:0'\n", "r.toml:1:12: unclosed table, expected `]`"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0\n", "r.toml:2:22: invalid literal string, expected `'`"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\nlisten = '127.0.0.1:0'\n", "r.toml:3:1: duplicate key"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.tcp]\nlisten = '127.0.0.1:0'\n", "r.toml:3:9: duplicate key"),
    ("[endpoint.out]\ntype = 'null'\n", "r.toml:1:2: there is no section `[endpoint]`, only [router], [keys], [spool], [inputs], [filters], [endpoints], [fleet]; did you mean `endpoints`?"),
    ("[input.tcp]\n", "r.toml:1:2: there is no section `[input]`, only [router], [keys], [spool], [inputs], [filters], [endpoints], [fleet]; did you mean `inputs`?"),
    ("[routes]\n", "r.toml:1:2: there is no section `[routes]`, only [router], [keys], [spool], [inputs], [filters], [endpoints], [fleet]; did you mean `router`?"),
    ("data = 'here'\n", "r.toml:1:1: there is no section `[data]`, only [router], [keys], [spool], [inputs], [filters], [endpoints], [fleet]"),
    ("inputs = 3\n", "r.toml:1:10: `inputs` must be sections such as `[inputs.name]`"),
    ("filters = ['loud']\n", "r.toml:1:11: `filters` must be sections such as `[filters.name]`"),
    ("endpoints = 'all'\n", "r.toml:1:13: `endpoints` must be sections such as `[endpoints.name]`"),
    ("[inputs]\nudp = 3\n", "r.toml:2:7: `udp` must be a section: write `[inputs.udp]` above its settings"),
    ("[inputs.'a b']\ntype = 'stdin'\n", "r.toml:1:9: `a b` is no name: letters, digits, `_`, `-` and `.`, at most 64"),
    ("[endpoints.'']\ntype = 'null'\n", "r.toml:1:12: `` is no name: letters, digits, `_`, `-` and `.`, at most 64"),
    ("[endpoints.out]\ntype = '${NO_SUCH_VARIABLE}'\n", "r.toml:2:8: environment variable `NO_SUCH_VARIABLE` is not set; set it, or give a default: `${NO_SUCH_VARIABLE:-default}`"),
    ("[endpoints.out]\ntype = '${NO_SUCH_VARIABLE:-null}'\n", RIGHT),
    // `[router]` and `[spool]`.
    ("[router]\nhttp = ''\n", RIGHT),
    ("[router]\nhttp = '127.0.0.1:0'\ndata = 'elsewhere'\ndrain = '2s'\nmessage_bytes = '64 KiB'\nthreads = 2\n", RIGHT),
    ("[router]\nhttp = ''\nallowed_hosts = ['logs.example.org']\ntrusted_network = true\ndead_letter_bytes = '1 MiB'\n", RIGHT),
    ("router = 1\n", "r.toml:1:10: expected a table, found number `1`"),
    ("[router]\nhtpp = ''\n", "r.toml:2:1: unknown key `htpp`, expected one of `http`, `data`, `store`, `edit`, `drain`, `message_bytes`, `message_names`, `message_name_bytes`, `dead_letter_bytes`, `threads`, `trusted_network`, `allowed_hosts`, `tls`; did you mean `http`?"),
    ("[router]\nhttp = 5568\ndrain = 'soon'\n", "r.toml:3:9: `drain`: `soon` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[router]\ndrain = 'soon'\n", "r.toml:2:9: `drain`: `soon` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[router]\ndrain = -1\n", "r.toml:2:9: `drain`: expected a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds, found number `-1`"),
    ("[router]\nmessage_bytes = '1 MB of text'\n", "r.toml:2:17: `message_bytes`: `1 MB of text` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes"),
    ("[router]\nthreads = 'all'\n", "r.toml:2:11: `threads`: expected a whole number from 0 to 18446744073709551615, found text `all`"),
    ("[router]\nthreads = -2\n", "r.toml:2:11: `threads`: expected a whole number from 0 to 18446744073709551615, found number `-2`"),
    ("[router]\ntrusted_network = 'perhaps'\n", "r.toml:2:19: `trusted_network`: expected `true` or `false`, found text `perhaps`"),
    ("[router]\nallowed_hosts = [1, []]\n", "r.toml:2:21: `allowed_hosts[1]`: expected text, found a list"),
    ("[spool]\nsync = 'ack'\nmax_bytes = '1 GiB'\nkeep = '1h'\n", RIGHT),
    ("[spool]\nsync = '100ms'\nsegment_bytes = '1 MiB'\nmemory = '1 MiB'\nfree_floor = '0 B'\n", RIGHT),
    ("[spool]\nsync = 'never'\n", RIGHT),
    ("[spool]\nsync = 'sometimes'\n", "r.toml:2:8: `sync`: expected `ack`, `never`, or a time such as `1s`"),
    ("[spool]\nsync = '0s'\n", "r.toml:2:8: `sync`: expected `ack`, `never`, or a time such as `1s`"),
    ("[spool]\nmax_bytes = '10 G'\n", "r.toml:2:13: `max_bytes`: `10 G` can be meant in two ways; write 10 GiB (1024s) or 10 GB (1000s)"),
    ("[spool]\nmax_bytes = '-1 GiB'\n", "r.toml:2:13: `max_bytes`: `-1 GiB` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes"),
    ("[spool]\nkeep = '5 fortnights'\n", "r.toml:2:8: `keep`: `5 fortnights` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[spool]\nkep = '1h'\n", "r.toml:2:1: unknown key `kep`, expected one of `sync`, `max_bytes`, `free_floor`, `keep`, `segment_bytes`, `memory`; did you mean `keep`?"),
    // Inputs: `tcp` and `udp`.
    ("[inputs.lines]\ntype = 'tcp'\nlisten = '[::1]:0'\nack = true\nconnections = 10\nper_address = 5\n", RIGHT),
    ("[inputs.tcp]\nlisten = '0.0.0.0:0'\ntrusted_network = true\n", RIGHT),
    ("[inputs.upd]\nlisten = '127.0.0.1:0'\n", "r.toml:1:9: unknown input `upd`, this program has <inputs>; did you mean `udp`?"),
    ("[inputs.a]\ntype = 'htp'\n", "r.toml:2:8: unknown input `htp`, this program has <inputs>; did you mean `http`?"),
    ("[inputs.a]\ntype = 'tpc'\nlisten = '127.0.0.1:0'\n", "r.toml:2:8: unknown input `tpc`, this program has <inputs>; did you mean `tcp`?"),
    ("[inputs.a]\ntype = 7\n", "r.toml:2:8: `type` must be the name of a plugin, as text"),
    ("[inputs.tcp]\n", "r.toml:1:1: missing key `listen`"),
    ("[inputs.tcp]\nlisten = 'here'\n", "r.toml:2:10: `listen`: expected an address and a port such as 127.0.0.1:5567"),
    ("[inputs.tcp]\nlisten = '127.0.0.1'\n", "r.toml:2:10: `listen`: expected an address and a port such as 127.0.0.1:5567"),
    ("[inputs.tcp]\nack = true\nlisten = '0.0.0.0:0'\n", "r.toml:3:1: `listen = \"0.0.0.0:0\"` is reachable from other machines and this input cannot tell who sends; ask for certificates with `tls.client_ca_file`, or, if only machines you trust can reach it, say `trusted_network = true`"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\nakc = true\n", "r.toml:3:1: unknown key `akc`, expected one of `listen`, `ack`, `trusted_network`, `connections`, `per_address`, `idle_timeout`, `tls`; did you mean `ack`?"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\nack = 'of course'\n", "r.toml:3:7: `ack`: expected `true` or `false`, found text `of course`"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\nconnections = -1\n", "r.toml:3:15: `connections`: expected a whole number from 0 to 18446744073709551615, found number `-1`"),
    ("[inputs.udp]\nlisten = ['127.0.0.1:0', '[::1]:0']\nbatch = 64\nreceive_buffer = '256 KiB'\n", RIGHT),
    ("[inputs.udp]\nlisten = []\n", "r.toml:2:1: `listen` is an empty list: name at least one address"),
    ("[inputs.udp]\nbatch = 64\nlisten = '0.0.0.0:0'\n", "r.toml:3:1: `listen` is `0.0.0.0:0`, which other hosts can reach, and UDP cannot tell who sent a datagram: if everyone who can reach it may write messages, say `trusted_network = true`; if not, listen on 127.0.0.1"),
    ("[inputs.udp]\nlisten = ['127.0.0.1:0', '[::]:0']\n", "r.toml:2:1: `listen` is `[::]:0`, which other hosts can reach, and UDP cannot tell who sent a datagram: if everyone who can reach it may write messages, say `trusted_network = true`; if not, listen on 127.0.0.1"),
    ("[inputs.udp]\nlisten = '127.0.0.1:0'\nbatch = 0\n", "r.toml:3:1: `batch` is 0, it must be between 1 and 1024"),
    ("[inputs.udp]\nlisten = '127.0.0.1:0'\nbatch = 4096\n", "r.toml:3:1: `batch` is 4096, it must be between 1 and 1024"),
    ("[inputs.udp]\nlisten = '127.0.0.1:0'\nreceive_buffer = 'large'\n", "r.toml:3:18: `receive_buffer`: `large` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes"),
    ("[inputs.udp]\nlissten = '127.0.0.1:0'\n", "r.toml:2:1: unknown key `lissten`, expected one of `listen`, `receive_buffer`, `trusted_network`, `batch`; did you mean `listen`?"),
    // Inputs: `zmq`, `http`, `file` and `stdin`.
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nhandshake = 'ipc://shake.sock'\n", RIGHT),
    ("[inputs.zmq]\nconnect = 'tcp://127.0.0.1:1'\nsocket = 'pull'\nmax_message = '64 KiB'\n", RIGHT),
    ("[inputs.zmq]\nbind = '127.0.0.1:5565'\n", "r.toml:2:1: `bind` is `127.0.0.1:5565`, which is no endpoint (Invalid Syntax: Could not parse transport); one is written like `tcp://127.0.0.1:5565` or `ipc:///run/metlog.sock`"),
    ("[inputs.zmq]\nbind = 'tcp://127.0.0.1:0'\n", "r.toml:2:1: `bind` is `tcp://127.0.0.1:0`, which is no endpoint (port 0); one is written like `tcp://127.0.0.1:5565` or `ipc:///run/metlog.sock`"),
    ("[inputs.zmq]\nsocket = 'sub'\nbind = 'tcp://*:5565'\n", "r.toml:3:1: `bind` is `tcp://*:5565`, which other hosts can reach, and this ZeroMQ asks nobody who they are: if everyone who can reach it may send, say `trusted_network = true`; if not, bind 127.0.0.1"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nconnect = 'inproc://x'\n", "r.toml:3:1: `connect` is `inproc://x`, which is no endpoint (Unknown transport type inproc); one is written like `tcp://127.0.0.1:5565` or `ipc:///run/metlog.sock`"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nhandshake = 'tcp://0.0.0.0:5564'\n", "r.toml:3:1: `handshake` is `tcp://0.0.0.0:5564`, which other hosts can reach, and this ZeroMQ asks nobody who they are: if everyone who can reach it may send, say `trusted_network = true`; if not, bind 127.0.0.1"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nsubscribe = []\n", "r.toml:3:1: `subscribe` is an empty list, so nothing would ever come; `\"\"` means everything"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nsocket = 'pub'\n", "r.toml:3:10: `socket`: unknown value `pub`, expected one of `sub`, `pull`; did you mean `sub`?"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nmax_connections = 0\n", "r.toml:3:1: `max_connections` is 0, it must be more: nothing could ever come in"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nmax_connections_per_address = 0\n", "r.toml:3:1: `max_connections_per_address` is 0, it must be more: nothing could ever come in"),
    ("[inputs.zmq]\nbind = 'ipc://zmq.sock'\nmax_message = 0\n", "r.toml:3:1: `max_message` is 0, it must be more: nothing could ever come in"),
    ("[inputs.zmq]\nbinds = 'ipc://zmq.sock'\n", "r.toml:2:1: unknown key `binds`, expected one of `bind`, `connect`, `socket`, `subscribe`, `handshake`, `trusted_network`, `max_message`, `max_connections`, `max_connections_per_address`; did you mean `bind`?"),
    ("[inputs.web]\ntype = 'http'\nlisten = '127.0.0.1:0'\ndialects = ['http']\n", RIGHT),
    ("[inputs.http]\ndialects = ['htpt']\n", "r.toml:2:12: unknown dialect `htpt`, this program has <dialects>; did you mean `http`?"),
    ("[router]\nhttp = ''\n[router.tls]\ncert_file = 'c.pem'\n", "r.toml:3:1: missing key `tls.key_file`"),
    ("[router]\nhttp = ''\n[router.tls]\ncert_file = 'c.pem'\nkey_file = 'k.pem'\nhandshakes = 0\n", "r.toml:6:1: `tls.handshakes` is 0: nobody could ever come in; 256 is usual"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.tcp.tls]\ncert_file = 'c.pem'\nkey_file = 'k.pem'\nhandshake_timeout = '1ms'\n", "r.toml:6:1: `tls.handshake_timeout` can be 100ms to 10m; 10s is usual"),
    ("[inputs.tcp]\nlisten = '0.0.0.0:0'\ntls = { cert_file = 'c', key_file = 'k', client_ca_file = 'a' }\n", "r.toml:3:42: `tls.client_ca_file` a: cannot be opened: No such file or directory (os error 2)"),
    ("[inputs.http]\ntls = { cert_file = 'c', key_file = 'k' }\n", "r.toml:2:1: `tls` belongs to a port of this input's own, `listen`; the router's has it in `[router.tls]`"),
    ("[endpoints.tcp]\ntls = { ca_file = 'a', insecure = true }\n", "r.toml:2:24: unknown key `tls.insecure`, expected one of `ca_file`, `only_ca_file`, `client_cert`, `client_key`"),
    ("[endpoints.tcp]\ntls = { only_ca_file = true }\n", "r.toml:2:9: `tls.only_ca_file` trusts nobody at all without `tls.ca_file`"),
    ("[endpoints.tcp]\ntls = {}\n", RIGHT),
    ("[inputs.http]\nport = 80\n", "r.toml:2:1: unknown key `port`, expected one of `listen`, `dialects`, `keyless`, `trusted_network`, `allowed_hosts`, `tls`"),
    ("[inputs.app]\ntype = 'file'\npaths = ['logs/*.jsonl', 'other.jsonl']\nstate = 'app.state'\nstart = 'beginning'\npoll = '1s'\n", RIGHT),
    ("[inputs.app]\ntype = 'file'\nstate = 'app.state'\n", "r.toml:1:1: missing key `paths`"),
    ("[inputs.app]\ntype = 'file'\nstate = 'app.state'\npaths = []\n", "r.toml:4:1: `paths` is empty; expected files such as [\"/var/log/app/*.jsonl\"]"),
    ("[inputs.app]\ntype = 'file'\nstate = 'app.state'\npaths = ['logs/']\n", "r.toml:4:1: `paths` has `logs/`, which is not a file; expected a path such as `/var/log/app/*.jsonl`"),
    ("[inputs.app]\ntype = 'file'\nstate = 'app.state'\npaths = ['logs/**/x']\n", "r.toml:4:1: `paths` has `logs/**/x`: `**` is not understood; write one `*` for each folder"),
    ("[inputs.app]\ntype = 'file'\npaths = 'x'\nstate = 'app.state'\nstart = 'middle'\n", "r.toml:5:9: `start`: unknown value `middle`, expected one of `end`, `beginning`"),
    ("[inputs.app]\ntype = 'file'\npaths = 'x'\nstate = 'app.state'\npoll = 'often'\n", "r.toml:5:8: `poll`: `often` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[inputs.stdin]\n", RIGHT),
    ("[inputs.stdin]\nlisten = '127.0.0.1:0'\n", "r.toml:2:1: unknown key `listen`, no key is expected here"),
    // Keys.
    ("[keys]\n", RIGHT),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\nrate = '1000/s'\ndialects = ['http']\n[keys.ops]\nscope = ['read', 'admin']\nhash = 'sha256:2222222222222222222222222222222222222222222222222222222222222222'\n", RIGHT),
    ("[router]\nhttp = '0.0.0.0:0'\n[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.http]\n", RIGHT),
    ("[router]\nhttp = '0.0.0.0:0'\n", "r.toml:2:1: `http` is `0.0.0.0:0`, which other machines can reach, and there are no keys: `metlog-router key new` makes one; or `tls.client_ca_file`, and whoever comes needs a certificate"),
    ("[router]\nhttp = '[::]:0'\ntrusted_network = true\n[keys]\n", "r.toml:2:1: `http` is `[::]:0`, which other machines can reach, and there are no keys: `metlog-router key new` makes one; or `tls.client_ca_file`, and whoever comes needs a certificate; `trusted_network = true` is not enough for HTTP, where keys can be asked for"),
    ("[inputs.web]\ntype = 'http'\nlisten = '0.0.0.0:0'\n", "r.toml:3:1: `listen` is `0.0.0.0:0`, which other machines can reach, and there are no keys: `metlog-router key new` makes one; or `tls.client_ca_file`, and whoever comes needs a certificate"),
    ("[inputs.http]\nkeyless = ['http']\n", RIGHT),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.http]\nkeyless = 'http'\ndialects = ['http']\n", RIGHT),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.http]\nkeyless = 'http'\ndialects = 'madsci'\n", "r.toml:5:1: `keyless` names `http`, which is not among the `dialects` spoken here"),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.http]\nkeyless = ['htpt']\n", "r.toml:5:11: unknown dialect `htpt`, this program has <dialects>; did you mean `http`?"),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.web]\ntype = 'http'\nlisten = '0.0.0.0:0'\nkeyless = ['http']\n", "r.toml:7:1: `keyless` lets everybody write who can reach `0.0.0.0:0`; if only machines you trust can reach it, say `trusted_network = true`"),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.web]\ntype = 'http'\nlisten = '0.0.0.0:0'\nkeyless = ['http']\ntrusted_network = true\n", RIGHT),
    ("[router]\nhttp = '0.0.0.0:0'\n[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.http]\nkeyless = ['http']\n", "r.toml:7:1: `keyless` lets everybody write who can reach `0.0.0.0:0`; if only machines you trust can reach it, say `trusted_network = true`"),
    ("[router]\nhttp = '0.0.0.0:0'\ntrusted_network = true\n[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[inputs.http]\nkeyless = ['http']\n", RIGHT),
    ("[keys.app]\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n", "r.toml:1:1: missing key `scope`"),
    ("[keys.app]\nscope = 'read'\n", "r.toml:1:1: missing key `hash`"),
    ("[keys.app]\nscope = 'reed'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n", "r.toml:2:9: `scope`: unknown value `reed`, expected one of `ingest`, `read`, `admin`; did you mean `read`?"),
    ("[keys.app]\nscope = []\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n", "r.toml:2:9: `scope` is empty; a key is good for `ingest`, `read` or `admin`, or for several of them"),
    ("[keys.app]\nscope = 'read'\nhash = 'metlog_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8'\n", "r.toml:3:8: `hash`: this is a key itself, which does not belong here; put what `metlog-router key hash` makes of it, and if others can read this file, make a new key"),
    ("[keys.app]\nscope = 'read'\nhash = 'hunter2'\n", "r.toml:3:8: `hash`: expected `sha256:` and 64 hexadecimal digits, as `metlog-router key new` prints them"),
    ("[keys.app]\nscope = 'read'\nhash = 7\n", "r.toml:3:8: `hash`: expected `sha256:` and 64 hexadecimal digits, as `metlog-router key new` prints them"),
    ("[keys.app]\nscope = 'read'\nkey = 'hunter2'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n", "r.toml:3:1: unknown key `key`, expected one of `scope`, `hash`, `rate`, `dialects`"),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\nrate = '1000'\n", "r.toml:4:8: `rate`: expected a number of messages or requests in a time, such as `1000/s`, `60/min` or `5000/h`"),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\ndialects = ['htpt']\n", "r.toml:4:12: unknown dialect `htpt`, this program has <dialects>; did you mean `http`?"),
    ("[keys.app]\nscope = 'ingest'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n[keys.web]\nscope = 'read'\nhash = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n", "r.toml:6:8: `[keys.app]` is the same key: nobody could tell which of the two is meant"),
    ("[keys]\napp = 'sha256:1111111111111111111111111111111111111111111111111111111111111111'\n", "r.toml:2:7: `app` must be a section: write `[keys.app]` above its settings"),
    ("[router]\nhttp = '0.0.0.0:0'\n[keys.app]\nscope = 'read'\nhash = 'x'\n", "r.toml:5:8: `hash`: expected `sha256:` and 64 hexadecimal digits, as `metlog-router key new` prints them"),
    // Filters.
    ("[filters.severity_max]\nseverity = 'warning'\n[endpoints.out]\ntype = 'null'\nfilters = ['severity_max']\n", RIGHT),
    ("[filters.f]\ntype = 'metlog.filters.type_whitelist_provider'\ntypes = 'counter'\n", RIGHT),
    ("[filters.f]\ntype = 'type_severity_max'\ntypes = { oldstyle = 4 }\n[filters.g]\ntype = 'not'\nof = 'f'\n", RIGHT),
    ("[filters.f]\ntype = 'logger'\nis = 'web*'\nnot = ['web.health']\n", RIGHT),
    ("[filters.f]\ntype = 'field'\npath = 'http.status'\nat_least = 500\n", RIGHT),
    ("[filters.f]\ntype = 'field'\npath = 'payload'\nmatches = '^a+$'\n", RIGHT),
    ("[filters.f]\ntype = 'sample'\nrate = 0.5\nkey = 'logger'\n", RIGHT),
    ("[filters.f]\ntype = 'rate_limit'\nper_second = 10\nburst = 5\n", RIGHT),
    ("[filters.f]\ntype = 'dedup'\nwindow = '5s'\nkey = ['type', 'payload']\n", RIGHT),
    ("[filters.both]\ntype = 'all'\nof = ['f', 'g']\n[filters.f]\ntype = 'type_blacklist'\ntypes = ['x']\n[filters.g]\ntype = 'any'\nof = ['f']\n", RIGHT),
    ("[filters.f]\ntype = 'severity_mx'\nseverity = 4\n", "r.toml:2:8: unknown filter `severity_mx`, this program has <filters>; did you mean `severity_max`?"),
    ("[filters.f]\ntype = 'severity_max'\n", "r.toml:1:1: missing key `severity`"),
    ("[filters.f]\ntype = 'severity_max'\nseverity = 8\n", "r.toml:3:12: `severity`: expected a severity: 0 to 7, or a name such as `warning`, found number `8`"),
    ("[filters.f]\ntype = 'severity_max'\nseverity = 'loud'\n", "r.toml:3:12: `severity`: expected a severity: 0 to 7, or a name such as `warning`, found text `loud`"),
    ("[filters.f]\ntype = 'type_whitelist'\ntyps = ['x']\n", "r.toml:1:1: missing key `types`"),
    ("[filters.f]\ntype = 'type_whitelist'\ntypes = [[]]\n", "r.toml:3:10: `types[0]`: expected text, found a list"),
    ("[filters.f]\ntype = 'type_severity_max'\ntypes = 3\n", "r.toml:3:9: `types`: expected a table of types with a severity each, or lines such as `oldstyle: 4`, found number `3`"),
    ("[filters.f]\ntype = 'logger'\n", "r.toml:1:1: `logger` needs `is` or `not`: names of loggers, such as [\"web*\"]"),
    ("[filters.f]\ntype = 'logger'\nnot = []\n", "r.toml:1:1: `logger` needs `is` or `not`: names of loggers, such as [\"web*\"]"),
    ("[filters.f]\ntype = 'field'\npath = 'a'\n", "r.toml:1:1: a condition is missing: one of equals, in, matches, exists, less, at_most, more, at_least"),
    ("[filters.f]\ntype = 'field'\npath = 'a'\nless = 1\nmore = 0\n", "r.toml:5:1: `more`: `less` and `more`: a filter has one condition; two filters have two"),
    ("[filters.f]\ntype = 'field'\npath = 'a'\nmatches = '('\n", "r.toml:4:11: `matches`: the pattern `(` is wrong at its character 1: unclosed group"),
    ("[filters.f]\ntype = 'field'\npath = ''\nexists = true\n", "r.toml:3:8: `path`: `` is not a path such as `logger`, `payload` or `fields.http.status`"),
    ("[filters.f]\ntype = 'sample'\nrate = 1.5\n", "r.toml:3:8: `rate`: expected a part of all messages, 0 to 1, such as 0.1; found 1.5"),
    ("[filters.f]\ntype = 'rate_limit'\nper_second = 0\n", "r.toml:3:14: `per_second`: expected messages per second, 0.000001 to 1000000000; found 0"),
    ("[filters.f]\ntype = 'rate_limit'\nper_second = 1\nburst = 0\n", "r.toml:4:9: `burst`: expected a whole number from 1 on, found number `0`"),
    ("[filters.f]\ntype = 'dedup'\nwindow = 0\n", "r.toml:3:10: `window`: expected a time above nought, such as `5s`"),
    ("[filters.f]\ntype = 'dedup'\nwindow = '5s'\nkey = []\n", "r.toml:4:7: `key`: without a place all messages would be the same"),
    ("[filters.f]\ntype = 'any'\n", "r.toml:1:10: `any` needs `of = [\"…\"]`, the names of the filters it combines"),
    ("[filters.f]\ntype = 'all'\nof = []\n", "r.toml:1:10: `all` needs `of = [\"…\"]`, the names of the filters it combines"),
    ("[filters.f]\ntype = 'not'\nof = ['g']\n", "r.toml:3:7: no filter is called `g`; there are f; did you mean `f`?"),
    ("[filters.f]\ntype = 'all'\nof = ['f']\n", "r.toml:1:10: `f` is a filter of itself, by way of f"),
    ("[filters.f]\ntype = 'any'\nof = ['g']\n[filters.g]\ntype = 'not'\nof = ['f']\n", "r.toml:1:10: `f` is a filter of itself, by way of g"),
    ("[filters.f]\ntype = 'any'\nof = ['g']\ninvert = true\n[filters.g]\ntype = 'severity_max'\nseverity = 1\n", "r.toml:4:1: `invert` means nothing to `any`, which has `of` and no other setting"),
    // What every endpoint can be told.
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\n[endpoints.e]\ntype = 'null'\nfrom_inputs = ['tcp']\nseverity_max = 3\ntypes = ['a']\nrequired = false\nworkers = 2\nbatch_messages = 10\nbatch_bytes = '1 MiB'\nbatch_wait = '1s'\nretry_min = '1s'\nretry_max = '2s'\ngive_up_after = '1h'\n", RIGHT),
    ("[endpoints.e]\ntype = 'flie'\npath = 'x'\n", "r.toml:2:8: unknown endpoint `flie`, this program has <endpoints>; did you mean `file`?"),
    ("[endpoints.e]\ntype = 'logging'\n", "r.toml:2:8: unknown endpoint `logging`, this program has <endpoints>"),
    ("[endpoints.e]\ntype = 7\n", "r.toml:2:8: `type` must be the name of a plugin, as text"),
    ("[endpoints.pager]\nseverity_max = 3\n", "r.toml:1:12: unknown endpoint `pager`, this program has <endpoints>"),
    ("[endpoints.e]\ntype = 'null'\nfilters = ['loud']\n", "r.toml:3:12: no filter is called `loud`; none is configured"),
    ("[filters.loud]\ntype = 'severity_max'\nseverity = 4\n[endpoints.e]\ntype = 'null'\nfilters = ['lod']\n", "r.toml:6:12: no filter is called `lod`; there are loud; did you mean `loud`?"),
    ("[inputs.tcp]\nlisten = '127.0.0.1:0'\n[endpoints.e]\ntype = 'null'\nfrom_inputs = ['udp', 'tcp']\n", "r.toml:5:16: no input is called `udp`; there are tcp"),
    ("[endpoints.e]\ntype = 'null'\nfrom_inputs = 7\n", "r.toml:3:15: `from_inputs` must be a list of names"),
    ("[endpoints.e]\ntype = 'null'\nworkers = 0\n", "r.toml:3:11: `workers`: expected a whole number from 1 on, found number `0`"),
    ("[endpoints.e]\ntype = 'null'\nseverity_max = 9\n", "r.toml:3:16: `severity_max`: expected a severity: 0 to 7, or a name such as `warning`, found number `9`"),
    ("[endpoints.e]\ntype = 'null'\nretry_max = '5 fortnights'\n", "r.toml:3:13: `retry_max`: `5 fortnights` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[endpoints.e]\ntype = 'null'\nbatch_bytes = 'many'\n", "r.toml:3:15: `batch_bytes`: `many` is not a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes"),
    ("[endpoints.e]\ntype = 'null'\nrequired = 'maybe'\n", "r.toml:3:12: `required`: expected `true` or `false`, found text `maybe`"),
    ("[endpoints.e]\ntype = 'null'\nbatch_mesages = 10\n", "r.toml:3:1: unknown key `batch_mesages`, there are only those of every endpoint; did you mean `batch_messages`?"),
    // Endpoints on this machine: `file`, `stdout`, `stream`, `debug`, `null`.
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\n", RIGHT),
    ("[endpoints.e]\ntype = 'file'\npath = 'out/{date}/{type}-{logger}.jsonl'\nformat = 'text'\nrotate_bytes = '1 MiB'\ncompress = 'zstd'\nmode = '0600'\nsync = 'batch'\n", RIGHT),
    ("[endpoints.e]\ntype = 'file'\n", "r.toml:1:1: missing key `path`"),
    ("[endpoints.e]\ntype = 'file'\npath = ''\n", "r.toml:3:1: `path` is ``; expected a file such as `logs/all.jsonl`"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out/'\n", "r.toml:3:1: `path` is `out/`; expected a file such as `logs/all.jsonl`"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out/{loger}.jsonl'\n", "r.toml:3:1: `path` is `out/{loger}.jsonl`: there is no placeholder {loger}, did you mean {logger}? There are {type}, {logger}, {severity}, {date} and {hour}"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out/{type.jsonl'\n", "r.toml:3:1: `path` is `out/{type.jsonl`: a brace without its other half; placeholders are {type}, {logger}, {severity}, {date} and {hour}"),
    ("[endpoints.e]\ntype = 'file'\npath = '{type}/../x'\n", "r.toml:3:1: `path` is `{type}/../x`: `..` cannot stand behind a placeholder, only the name of a folder or file"),
    ("[endpoints.e]\ntype = 'file'\npath = '{type}{type}{type}'\n", "r.toml:3:1: `path` is `{type}{type}{type}`: `{type}{type}{type}` can become 300 bytes long, and a name has 255 at the most"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\nmode = 'rw'\n", "r.toml:4:1: `mode` is `rw`; expected permissions such as `0640`"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\ncompress = 'gzip'\n", "r.toml:4:1: `compress` is for files that were rotated; say `rotate_bytes` or `rotate_every` too"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\nformat = 'xml'\n", "r.toml:4:10: `format`: unknown value `xml`, expected one of `json`, `json.dumps`, `simplejson.dumps`, `indented`, `pretty`, `text`"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\nrotate_every = 'daily'\n", "r.toml:4:16: `rotate_every`: `daily` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\nkeep_files = -1\n", "r.toml:4:14: `keep_files`: expected a whole number from 0 to 18446744073709551615, found number `-1`"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\nsync = 'always'\n", "r.toml:4:8: `sync`: unknown value `always`, expected one of `close`, `batch`, `never`"),
    ("[endpoints.e]\ntype = 'file'\npath = 'out.jsonl'\nfilepath = 'y'\n", "r.toml:4:1: unknown key `filepath`, expected one of `path`, `format`, `mode`, `sync`, `rotate_bytes`, `rotate_every`, `keep_files`, `compress`"),
    ("[endpoints.e]\ntype = 'stdout'\nformat = 'text'\n", RIGHT),
    ("[endpoints.e]\ntype = 'stdout'\nformat = 'html'\n", "r.toml:3:10: `format`: unknown value `html`, expected one of `json`, `json.dumps`, `simplejson.dumps`, `indented`, `text`"),
    ("[endpoints.e]\ntype = 'stream'\nstream = 'stdout'\n", RIGHT),
    ("[endpoints.e]\ntype = 'stream'\nstream = 'printer'\n", "r.toml:3:10: `stream`: unknown value `printer`, expected one of `stdout`, `stderr`"),
    ("[endpoints.e]\ntype = 'debug'\ncapacity = 5\n", RIGHT),
    ("[endpoints.e]\ntype = 'debug'\ncapacity = 0\n", "r.toml:3:1: `capacity` is 0, which keeps nothing; the sender `null` does that"),
    ("[endpoints.e]\ntype = 'null'\ncapacity = 5\n", "r.toml:3:1: unknown key `capacity`, there are only those of every endpoint"),
    // Endpoints over the network: `tcp`, `udp`, `zmq_pub`, `zmq_handshake_pub`, `statsd`.
    ("[endpoints.e]\ntype = 'tcp'\naddress = ['127.0.0.1:1', '[::1]:1']\n", RIGHT),
    ("[endpoints.e]\ntype = 'tcp'\naddress = []\n", "r.toml:3:1: `address` is an empty list; it is written like `127.0.0.1:5567`"),
    ("[endpoints.e]\ntype = 'tcp'\naddress = '127.0.0.1'\n", "r.toml:3:1: `address` is `127.0.0.1`, which has no port; it is written like `127.0.0.1:5567`"),
    ("[endpoints.e]\ntype = 'tcp'\nnodelay = false\naddress = 'tcp://127.0.0.1:5567'\n", "r.toml:4:1: `address` is `tcp://127.0.0.1:5567`, which starts with a scheme; it is written like `127.0.0.1:5567`"),
    ("[endpoints.e]\ntype = 'tcp'\naddress = '127.0.0.1:0'\n", "r.toml:3:1: `address` is `127.0.0.1:0`, whose port is 0; it is written like `127.0.0.1:5567`"),
    ("[endpoints.e]\ntype = 'tcp'\naddress = '127.0.0.1:1'\nwrite_timeout = '0s'\n", "r.toml:4:1: `write_timeout` is zero: nothing is ever that fast"),
    ("[endpoints.e]\ntype = 'tcp'\naddress = '127.0.0.1:1'\nconnect_timeout = 0\n", "r.toml:4:1: `connect_timeout` is zero: nothing is ever that fast"),
    ("[endpoints.e]\ntype = 'udp'\nhost = '127.0.0.1'\nport = 1\nsend_buffer = '64 KiB'\n", RIGHT),
    ("[endpoints.e]\ntype = 'udp'\nhost = []\n", "r.toml:3:1: `host` is an empty list: name at least one"),
    ("[endpoints.e]\ntype = 'udp'\nhost = '127.0.0.1'\nport = []\n", "r.toml:4:1: `port` is an empty list: name at least one, the router's own is 5566"),
    ("[endpoints.e]\ntype = 'udp'\nhost = '127.0.0.1'\nport = 0\n", "r.toml:4:1: `port` is 0: nothing can listen there, the router's own is 5566"),
    ("[endpoints.e]\ntype = 'udp'\nhost = '127.0.0.1'\nport = 65536\n", "r.toml:4:8: `port`: expected a whole number from 0 to 65535, found number `65536`"),
    ("[endpoints.e]\ntype = 'udp'\nhost = ' '\n", "r.toml:3:1: `host` holds an empty name"),
    ("[endpoints.e]\ntype = 'zmq_pub'\nbindstrs = 'tcp://127.0.0.1:1'\n", RIGHT),
    ("[endpoints.e]\ntype = 'zmq_pub'\nbindstrs = []\n", "r.toml:3:1: `bindstrs` is an empty list: name at least one endpoint"),
    ("[endpoints.e]\ntype = 'zmq_pub'\nbindstrs = '127.0.0.1:5565'\n", "r.toml:3:1: `bindstrs` is `127.0.0.1:5565`, which is no endpoint (Invalid Syntax: Could not parse transport); one is written like `tcp://127.0.0.1:5565` or `ipc:///run/metlog.sock`"),
    ("[endpoints.e]\ntype = 'zmq_pub'\nbind = true\nbindstrs = 'tcp://0.0.0.0:5565'\n", "r.toml:4:1: `bindstrs` is `tcp://0.0.0.0:5565`, which other hosts can reach: with `bind = true` only loopback addresses and `ipc://` are allowed, since any peer could end this process"),
    ("[endpoints.e]\ntype = 'zmq_pub'\nqueue_length = 0\n", "r.toml:3:1: `queue_length` is 0: nothing could ever be sent"),
    ("[endpoints.e]\ntype = 'zmq_pub'\nwhen_down = 'weep'\n", "r.toml:3:13: `when_down`: unknown value `weep`, expected one of `keep`, `drop`; did you mean `keep`?"),
    ("[endpoints.e]\ntype = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://127.0.0.1:1'\nconnect_bind = 'tcp://127.0.0.1:2'\nhandshake_timeout = 50\n", RIGHT),
    ("[endpoints.e]\ntype = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://127.0.0.1:1'\n", "r.toml:1:1: missing key `connect_bind`"),
    ("[endpoints.e]\ntype = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://127.0.0.1:1'\nconnect_bind = 'nowhere'\n", "r.toml:4:1: `connect_bind` is `nowhere`, which is no endpoint (Invalid Syntax: Could not parse transport); one is written like `tcp://127.0.0.1:5565` or `ipc:///run/metlog.sock`"),
    ("[endpoints.e]\ntype = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://127.0.0.1:1'\nconnect_bind = 'tcp://127.0.0.1:2'\nhwm = 0\n", "r.toml:5:1: `hwm` is 0, it must be more"),
    ("[endpoints.e]\ntype = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://127.0.0.1:1'\nconnect_bind = 'tcp://127.0.0.1:2'\nlivecheck = 0\n", "r.toml:5:1: `livecheck` is 0, it must be more"),
    ("[endpoints.e]\ntype = 'zmq_handshake_pub'\nhandshake_bind = 'tcp://127.0.0.1:1'\nconnect_bind = 'tcp://127.0.0.1:2'\nhandshake_timeout = 'long'\n", "r.toml:5:21: `handshake_timeout`: `long` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[endpoints.e]\ntype = 'statsd'\naddress = '127.0.0.1:1'\n", RIGHT),
    ("[endpoints.e]\ntype = 'statsd'\naddress = 8125\nprotocol = 'sctp'\n", "r.toml:4:12: `protocol`: unknown value `sctp`, expected one of `udp`, `tcp`"),
    ("[endpoints.e]\ntype = 'statsd'\naddress = '127.0.0.1:1'\nadress = 'x'\n", "r.toml:4:1: unknown key `adress`, expected one of `address`, `protocol`, `prefix`, `namespace`, `tags`, `tag_fields`, `packet_bytes`, `packets_per_second`, `aggregate`, `flush_interval`, `timeout`; did you mean `address`?"),
    ("[endpoints.e]\ntype = 'statsd'\naddress = 'localhost'\n", "r.toml:3:1: `address` is \"localhost\"; it is written like `127.0.0.1:8125`"),
    ("[endpoints.e]\ntype = 'statsd'\nprefix = 'a:b'\n", "r.toml:3:1: `prefix` is \"a:b\"; letters, digits, `_`, `-` and dots can stand in a name"),
    ("[endpoints.e]\ntype = 'statsd'\npacket_bytes = 10\n", "r.toml:3:1: `packet_bytes` is 10; 64 to 65507 are possible, 1432 is usual"),
    ("[endpoints.e]\ntype = 'statsd'\ntags = 'dogstatsd'\n", "r.toml:3:1: `tags` needs `tag_fields`: the names of the fields that become tags"),
    ("[endpoints.e]\ntype = 'statsd'\ntag_fields = ['']\n", "r.toml:3:1: `tag_fields` holds an empty name"),
    ("[endpoints.e]\ntype = 'statsd'\ntimeout = '0s'\n", "r.toml:3:1: `timeout` is zero: nothing is ever that fast"),
    // Endpoints over HTTP: `http`, `masterlog`, `logcollector`, `madsci`, `victorialogs`.
    ("[endpoints.e]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\nkey = 'secret'\ncompress = 'gzip'\n[endpoints.e.connection]\nheaders = { X-Team = 'a' }\n", RIGHT),
    ("[endpoints.e]\ntype = 'http'\n", "r.toml:1:1: missing key `url`"),
    ("[endpoints.e]\ntype = 'http'\nkey = 'a'\nurl = '127.0.0.1:1'\n", "r.toml:4:1: `url` has no scheme; it needs something like `http://127.0.0.1:8080` or `https://logs.example.org/prefix`"),
    ("[endpoints.e]\ntype = 'http'\nurl = 'ftp://127.0.0.1'\n", "r.toml:3:1: `url` has the scheme `ftp`; only http and https work here"),
    ("[endpoints.e]\ntype = 'http'\nurl = 'http://me:hunter2@127.0.0.1'\n", "r.toml:3:1: `url` holds a user name or password; URLs end up in logs, so give them as settings of their own"),
    ("[endpoints.e]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\nkey = ''\n", "r.toml:4:1: `key` is empty; leave it away to send without"),
    ("[endpoints.e]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\nkey = 'a'\nkey_file = 'b'\n", "r.toml:1:1: both `key` and `key_file` are set; which should win? Keep one"),
    ("[endpoints.e]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\ncompress = 'rar'\n", "r.toml:4:12: `compress`: unknown value `rar`, expected one of `auto`, `gzip`, `zstd`, `none`"),
    ("[endpoints.e]\ntype = 'http'\nurl = 'http://127.0.0.1:1'\n[endpoints.e.connection]\nverify = false\n", "r.toml:5:1: unknown key `connection.verify`, expected one of `connect_timeout`, `ca_file`, `only_ca_file`, `client_cert`, `client_key`, `headers`"),
    ("[endpoints.e]\ntype = 'masterlog'\nendpoint = 'http://127.0.0.1:1'\napi_key = 'k'\n", RIGHT),
    ("[endpoints.e]\ntype = 'masterlog'\napi_key = 'k'\n", "r.toml:1:1: `endpoint` is missing, and so is the variable MASTER_LOG_ENDPOINT"),
    ("[endpoints.e]\ntype = 'masterlog'\nendpoint = 'http://127.0.0.1:1'\n", "r.toml:1:1: `api_key` and `api_key_file` are missing, and so is the variable MASTER_LOG_API_KEY"),
    ("[endpoints.e]\ntype = 'masterlog'\napi_key = 'k'\nendpoint = 'localhost'\n", "r.toml:4:1: `endpoint` has no scheme; it needs something like `http://127.0.0.1:8080` or `https://logs.example.org/prefix`"),
    ("[endpoints.e]\ntype = 'masterlog'\nendpoint = 'http://127.0.0.1:1'\napi_key = 'k'\nbatch_size = 0\n", "r.toml:5:1: `batch_size` is 0; a request needs at least one event"),
    ("[endpoints.e]\ntype = 'logcollector'\nserver_url = 'http://127.0.0.1:1'\nservice = 'shop'\nenvironment = 'test'\n", RIGHT),
    ("[endpoints.e]\ntype = 'logcollector'\nserver_url = ''\n", "r.toml:3:1: `server_url` is empty; it needs something like `http://127.0.0.1:8080` or `https://logs.example.org/prefix`"),
    ("[endpoints.e]\ntype = 'logcollector'\nservice = 'shop'\nenvironment = 'moon'\n", "r.toml:4:1: `environment` is \"moon\"; the server knows `production`, `staging`, `development`, `test` or `local`"),
    ("[endpoints.e]\ntype = 'logcollector'\nlog_type = 'TOASTER'\n", "r.toml:3:1: `log_type` is \"TOASTER\"; the server knows `BACKEND`, `FRONTEND`, `MOBILE`, `IOT` or `WORKER`"),
    ("[endpoints.e]\ntype = 'logcollector'\nservice_version = '111111111111111111111111111111111111111111111111111'\n", "r.toml:3:1: `service_version` does not fit the server's table: 50 characters at the most, no NUL"),
    ("[endpoints.e]\ntype = 'madsci'\nurl = 'http://127.0.0.1:1'\n", RIGHT),
    ("[endpoints.e]\ntype = 'madsci'\n", "r.toml:1:1: `event_server_url` is missing, and so is the variable EVENT_SERVER_URL"),
    ("[endpoints.e]\ntype = 'madsci'\nevent_server_url = 'http://127.0.0.1:0'\n", "r.toml:3:1: `event_server_url` has port 0, which nothing can listen on"),
    ("[endpoints.e]\ntype = 'madsci'\nevent_server_url = 'http://h'\ntimeout = '1 moment'\n", "r.toml:4:11: `timeout`: `1 moment` is not a time such as `250ms`, `1s`, `5m`, `2h` or `1d`, or a number of seconds"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'http://127.0.0.1:1'\nsettle = '0s'\n", RIGHT),
    ("[endpoints.e]\ntype = 'victorialogs'\nuser = 'me'\n", "r.toml:1:1: missing key `url`"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'http://127.0.0.1:1'\naccount = 'mine'\n", "r.toml:4:11: `account`: expected a whole number from 0 to 4294967295, found text `mine`"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'localhost:9428'\n", "r.toml:3:1: `url` has no scheme; it needs something like `http://127.0.0.1:8080` or `https://logs.example.org/prefix`"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'http://127.0.0.1:1'\nstream_fields = ['a,b']\n", "r.toml:4:1: `stream_fields` holds \"a,b\"; its parts may not be empty or hold a comma"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'http://127.0.0.1:1'\nextra_fields = { site = '' }\n", "r.toml:4:1: `extra_fields` needs names without `=`, and values that are not empty"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'http://127.0.0.1:1'\nusername = 'me'\n", "r.toml:4:1: `username` is set without `password` or `password_file`"),
    ("[endpoints.e]\ntype = 'victorialogs'\nurl = 'http://127.0.0.1:1'\nusername = 'me'\npassword = 'p'\nkey = 'k'\n", "r.toml:1:1: both a key and a user name are set; a request can carry one of them"),
    // Several at once: the first in the order of the file.
    ("[router]\nhtpp = ''\n[inputs.udp]\nlisten = []\n[filters.a]\ntype = 'severity_max'\n[endpoints.e]\ntype = 'flie'\n", "r.toml:2:1: unknown key `htpp`, expected one of `http`, `data`, `store`, `edit`, `drain`, `message_bytes`, `message_names`, `message_name_bytes`, `dead_letter_bytes`, `threads`, `trusted_network`, `allowed_hosts`, `tls`; did you mean `http`?"),
    ("[endpoints.a]\ntype = 'tcp'\naddress = []\n[endpoints.b]\ntype = 'debug'\ncapacity = 0\n[endpoints.c]\ntype = 'file'\npath = ''\n", "r.toml:3:1: `address` is an empty list; it is written like `127.0.0.1:5567`"),
];

/// The configuration as a file. Where it says nothing of `[router]`, it has no port: the usual one can be had once only.
fn whole(text: &str) -> String {
    let mute = if text.contains("router") { "" } else { "[router]\nhttp = ''\n" };
    format!("{text}{mute}")
}

/// What is expected, with the names of all plugins.
fn in_full(expected: &str) -> String {
    let inputs = config::input_kinds();
    let filters: Vec<&str> = FilterEntry::all().into_iter().map(|entry| entry.name).collect();
    let dialects: Vec<&str> = DialectEntry::all().into_iter().map(|entry| entry.name).collect();
    let mut endpoints = config::endpoint_kinds();
    // This one is the tests' own.
    endpoints.retain(|name| *name != "scripted");
    let named = [("<inputs>", inputs), ("<filters>", filters), ("<dialects>", dialects), ("<endpoints>", endpoints)];
    named.iter().fold(expected.to_owned(), |text, (what, names)| text.replace(what, &names.join(", ")))
}

/// In the directory, where nothing of ours is in the environment.
fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Exit code of `check`, and what it said.
fn check(directory: &Path) -> (Option<i32>, String) {
    let output = program(directory, &["check", "r.toml"]).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Exit code of a start, and what it said. One that runs is ended and has the code 0.
fn start(directory: &Path) -> (Option<i32>, String) {
    let log = directory.join("log.txt");
    let mut command = program(directory, &["run", "--config", "r.toml"]);
    let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    // The greeting comes when everything is open.
    let greeting = concat!(" metlog-router ", env!("CARGO_PKG_VERSION"), "\n");
    let mut ended = None;
    eventually("it runs or has ended", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || said().contains(greeting)
    });
    if ended.is_none() {
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    }
    let status = child.wait().unwrap();
    // The signal may come between the greeting and the moment from which on it is waited for.
    let code = if ended.is_none() && status.signal() == Some(15) { Some(0) } else { status.code() };
    (code, said())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// What is not as it should be, if anything is.
fn judge(text: &str, expected: &str) -> Result<(), String> {
    let directory = Directory::new();
    let here = directory.0.as_path();
    std::fs::write(here.join("r.toml"), whole(text)).unwrap();
    let (checked, said) = check(here);
    let after_check = names(here);
    let (started, told) = start(here);
    let right = expected == RIGHT;
    let code = Some(if right { 0 } else { 2 });
    let demands = [
        (checked == code, "check ended otherwise"),
        (started == code, "a start ended otherwise"),
        (after_check == ["r.toml"], "check made files"),
        (right || said.lines().next() == Some(expected), "something else is said"),
        (right || told == said, "a start said something else"),
        (right || names(here) == ["log.txt", "r.toml"], "a start that was refused made files"),
    ];
    match demands.iter().find(|(is, _)| !is) {
        None => Ok(()),
        Some((_, what)) => Err(format!(
            "{what}; expected {code:?} and `{expected}`; check, {checked:?}:\n{said}a start, {started:?}:\n{told}of\n{text}"
        )),
    }
}

#[test]
fn check_and_start_are_of_one_mind() {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((text, expected)) = CASES.get(next.fetch_add(1, Relaxed)) {
                    if let Err(why) = judge(text, &in_full(expected)) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} are not as they should be:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}
