//! What is wrong with a configuration is said with its place and what would be right, all of it at once.

use metlog_router::config::{self, DEFAULT};

fn wrong(text: &str) -> String {
    match config::from_toml("r.toml", text) {
        Ok(_) => panic!("taken for right:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn the_default_is_in_order() {
    let plan = config::from_toml("default", DEFAULT).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.inputs.len(), 4);
    assert_eq!(plan.endpoints.len(), 1);
    assert!(plan.warnings.is_empty());
}

#[test]
fn the_same_can_be_said_in_four_ways() {
    let ways = [
        (
            "r.toml",
            "[inputs.udp]\nlisten = \"127.0.0.1:0\"\n[endpoints.out]\ntype = \"null\"\nseverity_max = 9\n",
            "5:16",
        ),
        ("r.ini", "[inputs.udp]\nlisten = 127.0.0.1:0\n[endpoints.out]\ntype = null\nseverity_max = 9\n", "5:16"),
        (
            "r.yaml",
            "inputs:\n  udp:\n    listen: 127.0.0.1:0\nendpoints:\n  out:\n    type: 'null'\n    severity_max: 9\n",
            "7:19",
        ),
        (
            "r.json",
            "{\"inputs\": {\"udp\": {\"listen\": \"127.0.0.1:0\"}},\n\"endpoints\": {\"out\": {\"type\": \"null\",\n \"severity_max\": 9}}}",
            "3:18",
        ),
    ];
    let directory = std::env::temp_dir().join(format!("metlog-four-ways-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    for (name, text, place) in ways {
        let file = directory.join(name);
        std::fs::write(&file, text).expect("written");
        let problems = config::load(Some(&file)).err().expect(name).to_string();
        assert!(problems.contains(&format!("{name}:{place}: `severity_max`: ")), "{problems}");
        std::fs::write(&file, text.replace('9', "4")).expect("written");
        let plan = config::load(Some(&file)).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert_eq!((plan.inputs.len(), plan.endpoints.len()), (1, 1), "{name}");
    }
    std::fs::remove_dir_all(&directory).expect("ours");
}

#[test]
fn each_mistake_has_its_place_and_its_remedy() {
    let cases = [
        (
            "[endpoint.x]\n",
            "r.toml:1:2: there is no section `[endpoint]`, only [router], [keys], [spool], [inputs], [filters], [endpoints], [fleet]; did you mean `endpoints`?",
        ),
        ("[router]\nhtpp = ''\n", "r.toml:2:1: unknown key `htpp`, expected one of `http`"),
        ("[router]\ndrain = 'soon'\n", "r.toml:2:9"),
        ("[spool]\nsync = 'sometimes'\n", "expected `ack`, `never`, or a time such as `1s`"),
        ("[spool]\nmax_bytes = '10 G'\n", "10 GiB"),
        ("[inputs.upd]\n", "r.toml:1:9: unknown input `upd`"),
        ("[inputs.upd]\n", "did you mean `udp`?"),
        ("[inputs.a]\ntype = 'tpc'\n", "r.toml:2:8: unknown input `tpc`"),
        ("[inputs.tcp]\nlisten = 'here'\n", "r.toml:2:10"),
        ("[inputs.tcp]\nlisten = '127.0.0.1:1'\nakc = true\n", "r.toml:3:1: unknown key `akc`"),
        ("inputs = 3\n", "`inputs` must be sections such as `[inputs.name]`"),
        ("[inputs.http.madsci]\ntimezon = 'UTC'\n", "r.toml:2:1: unknown key `timezon`"),
        ("[inputs.http.madsci]\ntimezon = 'UTC'\n", "did you mean `timezone`?"),
        (
            "[inputs.http]\ndialects = ['http']\n[inputs.http.madsci]\ntimezone = 'UTC'\n",
            "r.toml:3:1: `madsci` has settings here and is not among the `dialects` spoken",
        ),
        ("[inputs]\nudp = 3\n", "write `[inputs.udp]` above its settings"),
        ("[inputs.'a b']\n", "`a b` is no name"),
        ("[endpoints.x]\ntype = 'flie'\npath = 'x'\n", "r.toml:2:8: unknown endpoint `flie`"),
        ("[endpoints.x]\ntype = 7\n", "`type` must be the name of a plugin"),
        (
            "[endpoints.x]\ntype = 'null'\nfilters = ['loud']\n",
            "r.toml:3:12: no filter is called `loud`; none is configured",
        ),
        (
            "[filters.loud]\ntype = 'severity_max'\nseverity = 4\n[endpoints.x]\ntype = 'null'\nfilters = ['lod']\n",
            "r.toml:6:12: no filter is called `lod`; there are loud; did you mean `loud`?",
        ),
        (
            "[inputs.tcp]\nlisten = '127.0.0.1:1'\n[endpoints.x]\ntype = 'null'\nfrom_inputs = ['udp', 'tcp']\n",
            "r.toml:5:16: no input is called `udp`; there are tcp",
        ),
        ("[endpoints.x]\ntype = 'null'\nworkers = 0\n", "r.toml:3:11"),
        ("[endpoints.x]\ntype = 'null'\nseverity_max = 9\n", "r.toml:3:16"),
        ("[endpoints.x]\ntype = 'null'\nretry_max = '5 fortnights'\n", "r.toml:3:13"),
        ("[filters.a]\ntype = 'any'\n", "`any` needs `of = [\"…\"]`"),
        ("[filters.a]\ntype = 'any'\nof = []\n", "`any` needs `of = [\"…\"]`"),
        ("[filters.a]\ntype = 'not'\nof = ['b']\n", "no filter is called `b`; there are a"),
        ("[filters.a]\ntype = 'all'\nof = ['a']\n", "`a` is a filter of itself, by way of a"),
        (
            "[filters.a]\ntype = 'all'\nof = ['b']\n[filters.b]\ntype = 'not'\nof = ['a']\n",
            "`b` is a filter of itself, by way of a",
        ),
        (
            "[filters.a]\ntype = 'any'\nof = ['b']\ninvert = true\n[filters.b]\ntype = 'severity_max'\nseverity = 1\n",
            "`invert` means nothing to `any`",
        ),
        ("[filters.a]\ntype = 'severity_mx'\n", "did you mean `severity_max`?"),
        ("[filters.a]\ntype = 'severity_max'\nseverity = 'loud'\n", "r.toml:3:12"),
        ("[router]\nhttp = '0.0.0.0:5568'\n", "r.toml:2:1: `http` is `0.0.0.0:5568`, which other machines can reach"),
        ("[router]\nhttp = 'localhost'\n", "r.toml:2:1: `http` is `localhost`, expected an address and a port"),
        (
            "[inputs.http]\nlisten = '0.0.0.0:1'\n",
            "r.toml:2:1: `listen` is `0.0.0.0:1`, which other machines can reach",
        ),
        ("[inputs.http]\ndialects = ['htp']\n", "unknown dialect `htp`"),
        ("a = [\n", "r.toml:"),
    ];
    for (text, part) in cases {
        let said = wrong(text);
        assert!(said.contains(part), "`{part}` is not in\n{said}\nfor\n{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let said = wrong(
        "[router]\nhtpp = ''\n[inputs.udp]\nlisten = 'x'\n[filters.a]\ntype = 'severity_max'\n[endpoints.x]\ntype = 'flie'\n[endpoints.y]\ntype = 'null'\nfilters = ['b']\n",
    );
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("r.toml:")?.split(':').next()).collect();
    assert_eq!(lines, ["2", "4", "5", "8", "11"], "{said}");
}

#[test]
fn sixty_four_endpoints_and_no_more() {
    let endpoints =
        |count: usize| (0..count).map(|at| format!("[endpoints.e{at}]\ntype = 'null'\n")).collect::<String>();
    assert!(config::from_toml("r.toml", &endpoints(64)).is_ok());
    assert!(wrong(&endpoints(65)).contains("at most 64 endpoints"));
}
