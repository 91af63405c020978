use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/ringcast/ringcast.toml"))
}

/// The one problem of a text.
fn problem(text: &str) -> Problem {
    let error = parse(text).expect_err("the text is accepted");
    assert_eq!(error.problems.len(), 1, "{error}");
    error.problems.into_iter().next().expect("counted above")
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = parse("").expect("an empty file is fine");
    assert_eq!(config.server, Server::default());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.listen.congestion, "cubic");
    assert!(config.points.is_empty());
}

#[test]
fn the_design_s_example_is_read() {
    let config = parse(
        r#"
        [server]
        cores = 2
        version = "9.1"
        [listen]
        http = ["0.0.0.0:80"]
        mms = ["0.0.0.0:1755"]
        rtsp = ["[::]:554"]
        admin = "127.0.0.1:9090"
        [[point]]
        name = "vod"
        kind = "on-demand"
        source = "content/"
        [[point]]
        name = "live"
        kind = "broadcast"
        source = "/srv/clip.wmv"
        cadence = "50ms"
        [point.limits]
        player_connections = 10
        [limits]
        memory = "2GiB"
        [log]
        directory = "logs/"
        "#,
    )
    .expect("valid");
    assert_eq!(config.server.version.cougar(), "Cougar/9.01.01.3841");
    assert_eq!(config.server.version.wm_server(), "WMServer/9.1.1.3841");
    assert_eq!(config.listen.admin.map(|a| a.port()), Some(9090));
    assert_eq!(
        config.points[0].source.path(),
        Some(Path::new("/etc/ringcast/content/"))
    );
    assert_eq!(
        config.points[1].source.path(),
        Some(Path::new("/srv/clip.wmv"))
    );
    assert_eq!(config.points[1].cadence, Span::millis(50));
    assert_eq!(config.points[1].limits.player_connections, Some(10));
    assert_eq!(config.limits.memory, Size::gib(2));
    assert_eq!(
        config.log.directory.as_deref(),
        Some(Path::new("/etc/ringcast/logs/"))
    );
    assert_eq!(
        config.point("live").map(|p| p.kind),
        Some(PointKind::Broadcast)
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_is_known() {
    let p = problem("[server]\ncores = 2\ncoers = 3\n");
    assert_eq!(
        (p.line, p.column, p.key.as_str()),
        (Some(3), Some(1), "server.coers")
    );
    assert!(
        p.what.contains("unknown field") && p.what.contains("`cores`"),
        "{}",
        p.what
    );
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_line() {
    let p = problem("[listen]\n\nhttp = [\"0.0.0.0:80\", \"nowhere\"]\n");
    assert_eq!((p.line, p.key.as_str()), (Some(3), "listen.http[2]"));
    assert_eq!(p.column, Some(23));
    let p = problem("[server]\ndrain_timeout = 10\n");
    assert_eq!((p.line, p.key.as_str()), (Some(2), "server.drain_timeout"));
    assert!(p.what.contains("no unit"), "{}", p.what);
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line() {
    let p = problem("[server]\ncores = \n");
    assert_eq!(p.line, Some(2));
}

#[test]
fn every_value_out_of_range_is_told_at_once() {
    let error = parse(
        "[limits]\nmemory = \"1KiB\"\n[[point]]\nname = \"a\"\nkind = \"broadcast\"\nsource = \"x\"\n\
         cadence = \"4ms\"\nbuffer = \"2m\"\n[[point]]\nname = \"A\"\nkind = \"on-demand\"\nsource = \"y\"\n",
    )
    .expect_err("four mistakes");
    let found: Vec<(Option<usize>, &str)> = error
        .problems
        .iter()
        .map(|p| (p.line, p.key.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (Some(2), "limits.memory"),
            (Some(7), "point[1].cadence"),
            (Some(8), "point[1].buffer"),
            (Some(10), "point[2].name"),
        ]
    );
    let text = error.to_string();
    assert!(
        text.starts_with(
            "/etc/ringcast/ringcast.toml:2:1: limits.memory: is 1KiB; allowed are 16MiB to 16TiB"
        ),
        "{text}"
    );
}

#[test]
fn a_cadence_is_any_whole_millisecond_in_its_range() {
    let point = |cadence: &str| {
        format!(
            "[[point]]\nname = \"a\"\nkind = \"broadcast\"\nsource = \"x\"\ncadence = \"{cadence}\"\n"
        )
    };
    for ms in [5, 7, 57, 230, 999, 1000] {
        let config = parse(&point(&format!("{ms}ms"))).expect("allowed");
        assert_eq!(config.points[0].cadence, Span::millis(ms));
    }
    for bad in ["4ms", "1001ms", "57.5ms"] {
        let p = problem(&point(bad));
        assert_eq!(
            (p.line, p.key.as_str()),
            (Some(5), "point[1].cadence"),
            "{bad}"
        );
    }
}

#[test]
fn names_of_points_are_safe_in_urls_paths_and_labels() {
    for bad in [
        "", "a/b", "..", ".x", "a b", "é", "live.asx", "live.NSC", "a\\\"b",
    ] {
        let p = problem(&format!(
            "[[point]]\nname = \"{bad}\"\nkind = \"broadcast\"\nsource = \"x\"\n"
        ));
        assert_eq!(
            (p.line, p.key.as_str()),
            (Some(2), "point[1].name"),
            "{bad:?}"
        );
    }
}

#[test]
fn a_source_may_be_a_list_of_files() {
    let head = "[[point]]\nname = \"a\"\nkind = \"broadcast\"\n";
    let read = |source: &str| {
        let text = format!("{head}source = {source}\n");
        Config::parse(&text, Path::new("/etc/x.toml")).map(|c| c.points[0].clone())
    };
    let two = read(r#"["a.wmv", "file:///srv/b.wmv"]"#).expect("a list");
    assert_eq!(
        two.source,
        Source::Files(vec!["/etc/a.wmv".into(), "/srv/b.wmv".into()])
    );
    assert_eq!(two.source.to_string(), "/etc/a.wmv, /srv/b.wmv");
    assert!(two.has_entries() && two.source.path().is_none());
    // What is written is read as the same.
    let written = toml::to_string(&two).expect("TOML");
    let again = parse_point("a", &written, Path::new("")).expect("the same");
    assert_eq!(again.source, two.source);
    let one = read(r#"["a.wmv"]"#).expect("a list of one");
    assert_eq!(one.source, Source::Path("/etc/a.wmv".into()));
    assert!(!one.has_entries());
    for (wrong, what) in [
        ("[]", "empty list"),
        (r#"["a.wmv", "push:"]"#, "files only"),
        (r#"["a.wmv", ""]"#, "empty"),
        ("7", "expected a source"),
        ("[7]", "expected a source"),
    ] {
        let error = read(wrong).expect_err(wrong).to_string();
        assert!(error.contains(what), "{wrong}: {error}");
    }
    let on_demand = "[[point]]\nname = \"a\"\nkind = \"on-demand\"\nsource = [\"a\", \"b\"]\n";
    assert_eq!(problem(on_demand).key, "point[1].source");
    let pushed = format!("{head}source = \"push:\"\nrepeat = false\n");
    assert_eq!(problem(&pushed).key, "point[1].repeat");
    let rootless = format!("[server]\nroot = \"b\"\n{head}source = \"x\"\n");
    assert_eq!(problem(&rootless).key, "server.root");
}

#[test]
fn live_sources_are_read_and_others_are_not_guessed_at() {
    let source = |text: &str| text.parse::<Source>();
    assert_eq!(source("push:"), Ok(Source::Push));
    assert_eq!(source("Push:*"), Ok(Source::Push));
    let pulls = [
        ("http://origin/live", PullScheme::Http),
        ("mms://origin/live", PullScheme::Mms),
        ("RTSP://origin/live", PullScheme::Rtsp),
        ("msbd://h:1", PullScheme::Msbd),
    ];
    for (url, scheme) in pulls {
        assert_eq!(source(url), Ok(Source::Pull(scheme, url.into())));
    }
    for wrong in [
        "https://origin/live",
        "http:",
        "http://",
        "push:x",
        "ftp://h/x",
    ] {
        let head = "[[point]]\nname = \"a\"\nkind = \"broadcast\"\n";
        let p = problem(&format!("{head}source = \"{wrong}\"\n"));
        assert_eq!((p.line, p.key.as_str()), (Some(4), "point[1].source"));
        assert!(p.what.contains("push:"), "{}", p.what);
    }
}

// MSB-36
#[test]
fn tables_of_live_points_are_checked() {
    let head = "[[point]]\nname = \"a\"\nkind = \"broadcast\"\n";
    let push = format!("{head}source = \"push:\"\n");
    let file = format!("{head}source = \"x\"\n");
    let cases = [
        (&file, "[point.push]\n", "point[1].push"),
        (&push, "[point.pull]\n", "point[1].pull"),
        (
            &file,
            "[point.fallback]\nsource = \"y\"\n",
            "point[1].fallback",
        ),
        (&push, "[point.push]\nhold = \"2d\"\n", "point[1].push.hold"),
        (
            &push,
            "[point.multicast]\ngroup = \"10.0.0.1:5\"\n",
            "point[1].multicast.group",
        ),
        (
            &push,
            "[point.multicast]\ngroup = \"239.0.0.1:5\"\nfec_span = 15\n",
            "point[1].multicast.fec_span",
        ),
        (
            &push,
            "[point.multicast]\ngroup = \"239.0.0.1:5\"\nbeacon = \"11s\"\n",
            "point[1].multicast.beacon",
        ),
        (
            &push,
            "[point.multicast]\ngroup = \"239.0.0.1:5\"\nbeacon = \"900ms\"\n",
            "point[1].multicast.beacon",
        ),
        (
            &push,
            "[point.msbd]\nlisten = \"[::1]:7007\"\n",
            "point[1].msbd.listen",
        ),
        (
            &push,
            "[point.archive]\ndirectory = \"x\"\nmax_duration = \"1s\"\n",
            "point[1].archive.max_duration",
        ),
    ];
    for (head, table, key) in cases {
        assert_eq!(problem(&format!("{head}{table}")).key, key);
    }
    let on_demand = "[[point]]\nname = \"a\"\nkind = \"on-demand\"\nsource = \"push:\"\n";
    assert_eq!(problem(on_demand).key, "point[1].source");
    let group = "[point.multicast]\ngroup = \"239.0.0.1:5\"\n";
    let second = file.replace("\"a\"", "\"b\"");
    let both = problem(&format!("{file}{group}{second}{group}"));
    assert_eq!(both.key, "point[2].multicast.group");
}

#[test]
fn the_log_sink_is_a_plain_path_that_hides_no_point() {
    for sink in ["x", "/", "/a//b", "/a/", "/../x", "/a?b", "/a b", "/.x"] {
        let p = problem(&format!("[log]\nsink = \"{sink}\"\n"));
        assert_eq!((p.line, p.key.as_str()), (Some(2), "log.sink"), "{sink}");
    }
    let point = "[[point]]\nname = \"studio\"\nkind = \"broadcast\"\nsource = \"push:\"\n";
    for sink in ["/studio", "/Studio/log", "/studio.nsc"] {
        let p = problem(&format!("[log]\nsink = \"{sink}\"\n{point}"));
        assert_eq!(p.key, "log.sink", "{sink}");
        assert!(p.what.contains("\"studio\""), "{}", p.what);
    }
    for sink in ["", "/wmsiislog.dll", "/log/of/players"] {
        let config = parse(&format!("[log]\nsink = \"{sink}\"\n{point}")).expect(sink);
        assert_eq!(config.log.sink, sink);
    }
}

#[test]
fn urls_of_sources_are_checked() {
    let listen = "[server]\nname = \"tv.example\"\n[listen]\nhttp = [\"0.0.0.0:80\"]\n\
                  mms = [\"10.0.0.1:1755\"]\nrtsp = [\"127.0.0.1:8554\"]\n";
    let with = |url: &str| {
        format!("{listen}[[point]]\nname = \"a\"\nkind = \"broadcast\"\nsource = \"{url}\"\n")
    };
    for (url, what) in [
        ("http://h:0/a", "the port is no number from 1 to 65535"),
        ("http:///a", "no host"),
        ("mms://h:x/a", "the port is no number from 1 to 65535"),
        ("rtsp://[::1/a", "no host"),
        ("msbd://h:0", "the port is no number from 1 to 65535"),
        ("rtsp://u:p@h/a", "must not hold a password"),
        ("http://127.0.0.1/a", "is this point itself"),
        ("http://localhost/A?x", "is this point itself"),
        ("mms://10.0.0.1/a", "is this point itself"),
        ("rtsp://tv.example:8554/a/b", "is this point itself"),
    ] {
        let p = problem(&with(url));
        assert_eq!((p.line, p.key.as_str()), (Some(10), "point[1].source"));
        assert!(p.what.contains(what), "{url}: {}", p.what);
    }
    for url in [
        "http://127.0.0.1/b",
        "http://127.0.0.1:81/a",
        "http://10.0.0.1/a",
        "mms://127.0.0.1/a",
        "rtspt://10.0.0.1:8554/a",
        "mmsh://[::1]:8080/a",
    ] {
        parse(&with(url)).unwrap_or_else(|e| panic!("{url}: {e}"));
    }
}

#[test]
fn who_may_push() {
    let mut push = PushConfig::default();
    let (here, mapped, there) = ("127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3");
    let allows = |push: &PushConfig| [here, mapped, there].map(|a| push.allows(a.parse().unwrap()));
    assert_eq!(allows(&push), [true, true, false]);
    push.allow = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(allows(&push), [false, false, true]);
}

#[test]
fn files_whose_names_have_colons_can_be_written() {
    let source = |text: &str| text.parse::<Source>();
    assert_eq!(source("./a:b.wmv"), Ok(Source::Path("./a:b.wmv".into())));
    assert_eq!(source("file:///x/y"), Ok(Source::Path("/x/y".into())));
    assert!(source("").is_err());
}

#[test]
fn a_listed_cpu_twice_and_a_count_that_differs_are_refused() {
    let p = problem("[server]\ncpus = [0, 0]\n");
    assert_eq!(p.key, "server.cpus[2]");
    let p = problem("[server]\ncores = 3\ncpus = [0, 1]\n");
    assert_eq!(p.key, "server.cores");
}

#[test]
fn one_port_is_not_given_away_twice() {
    let p = problem("[listen]\nhttp = [\"0.0.0.0:80\"]\nrtsp = [\"0.0.0.0:80\"]\n");
    assert_eq!((p.line, p.key.as_str()), (Some(3), "listen.rtsp[1]"));
    let p = problem("[listen]\nhttp = [\"127.0.0.1:80\"]\nadmin = \"127.0.0.1:80\"\n");
    assert_eq!(p.key, "listen.admin");
    assert!(parse("[listen]\nhttp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n").is_ok());
}

#[test]
fn a_point_comes_alone_as_toml_or_json() {
    let parse_point =
        |name: &str, text: &str| super::parse_point(name, text, Path::new("/etc/ringcast"));
    let toml = parse_point("live", "kind = \"broadcast\"\nsource = \"clip.wmv\"\n").expect("valid");
    let json = parse_point(
        "live",
        r#"{"kind": "broadcast", "source": "clip.wmv", "name": "live"}"#,
    )
    .expect("valid");
    assert_eq!(toml, json);
    assert_eq!(
        toml.source.path(),
        Some(Path::new("/etc/ringcast/clip.wmv"))
    );
    let other = parse_point(
        "live",
        "name = \"x\"\nkind = \"broadcast\"\nsource = \"c\"\n",
    );
    assert!(
        other
            .expect_err("names differ")
            .to_string()
            .contains("\"live\"")
    );
    let nested = parse_point(
        "live",
        r#"{"kind": "broadcast", "source": "c", "limits": {"player_connections": 3}}"#,
    )
    .expect("valid");
    assert_eq!(nested.limits.player_connections, Some(3));
    assert!(parse_point("../x", "kind = \"broadcast\"\nsource = \"c\"\n").is_err());
    let wrong = parse_point(
        "live",
        "kind = \"broadcast\"\nsource = \"c\"\n\ncadence = \"3ms\"\n",
    );
    assert_eq!(wrong.expect_err("3 ms").problems[0].line, Some(4));
}

const REFERENCE: &str = include_str!("../../../../deploy/ringcast.toml");

/// The keys that a table of the configuration knows, from what the reader says about one that it
/// does not know.
fn known_keys(head: &str) -> Vec<String> {
    let p = problem(&format!("{head}\nno_such_key = 1\n"));
    let listed = p.what.split_once("expected").expect("keys are listed").1;
    listed
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Lines between one table head and the next.
fn section(text: &str, head: &str) -> String {
    text.lines()
        .skip_while(|l| *l != head)
        .skip(1)
        .take_while(|l| !l.starts_with('[') && !l.starts_with("#["))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// Times that `key = ` or `#key = ` begins a line.
fn written(text: &str, key: &str) -> usize {
    text.lines()
        .filter(|l| l.trim_start_matches('#').split(" = ").next() == Some(key))
        .count()
}

#[test]
fn the_reference_file_is_valid_and_its_values_are_the_defaults() {
    let config = parse(REFERENCE).expect("the reference file");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(
        Listen {
            http: Vec::new(),
            mms: Vec::new(),
            rtsp: Vec::new(),
            admin: None,
            ..config.listen.clone()
        },
        Listen::default()
    );
    assert_eq!(
        Log {
            directory: None,
            ..config.log.clone()
        },
        Log::default()
    );
    assert_eq!(
        Server {
            cache_dir: None,
            ..config.server.clone()
        },
        Server::default()
    );
    let plain = PointConfig::new("vod", PointKind::OnDemand, "/srv/ringcast/");
    assert_eq!(config.points[0], plain);
}

#[test]
fn the_reference_file_s_commented_values_are_valid_too() {
    let text: String = REFERENCE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let config = parse(&text).expect("uncommented");
    assert_eq!(config.server.cpus, Some(vec![0, 1]));
    assert!(config.points[0].redirect.is_some());
    let auth = config.points[1].auth.as_ref().expect("uncommented");
    assert_eq!(auth.realm, REALM);
    let bare = "[[point]]\nname = \"a\"\nkind = \"broadcast\"\nsource = \"x\"\n[point.auth]\nusers = \"u\"";
    let bare = parse(bare).expect("users alone suffice");
    assert_eq!(
        bare.points[0].auth.as_ref().map(|a| &a.methods),
        Some(&auth.methods)
    );
}

#[test]
fn the_reference_file_documents_every_key_once() {
    let mut keys = 0;
    for head in ["[server]", "[listen]", "[limits]", "[log]"] {
        for key in known_keys(head) {
            assert_eq!(written(&section(REFERENCE, head), &key), 1, "{head} {key}");
            keys += 1;
        }
    }
    let point_head = "[[point]]\nname = \"a\"\nkind = \"broadcast\"\nsource = \"x\"";
    for key in known_keys(point_head) {
        let table = format!("[point.{key}]");
        let stands = written(&section(REFERENCE, "[[point]]"), &key) == 1;
        assert!(stands || REFERENCE.contains(&table), "[[point]] {key}");
        keys += 1;
    }
    for key in known_keys(&format!("{point_head}\n[point.limits]")) {
        assert_eq!(
            written(&section(REFERENCE, "[point.limits]"), &key),
            1,
            "{key}"
        );
        keys += 1;
    }
    for key in known_keys(&format!("{point_head}\n[point.auth]\nusers = \"u\"")) {
        let auth = section(REFERENCE, "#[point.auth]");
        assert_eq!(written(&auth, &key), 1, "{key}");
        keys += 1;
    }
    let tables = [
        ("push", ""),
        ("fallback", "source = \"y\""),
        ("pull", ""),
        ("multicast", "group = \"239.1.1.1:5\""),
        ("msbd", "listen = \"127.0.0.1:7007\""),
        ("archive", "directory = \"z\""),
    ];
    for (table, needed) in tables {
        let head = format!("{point_head}\n[point.{table}]\n{needed}");
        for key in known_keys(&head) {
            let table = format!("#[point.{table}]");
            // A table's heading stands for the key that it is.
            let nested = REFERENCE.contains(&table.replace(']', &format!(".{key}]")));
            let count = written(&section(REFERENCE, &table), &key);
            assert!(nested || count == 1, "{table} {key}: {count}");
            keys += 1;
        }
    }
    assert!(keys > 80, "only {keys} keys were looked for");
}

// WMSP-93
#[test]
fn authentication_is_configured_for_each_point() {
    let head = "[[point]]\nname = \"a\"\nkind = \"broadcast\"\nsource = \"x\"\n[point.auth]\n";
    let text = format!(
        "{head}methods = [\"digest\", \"basic\"]\nusers = \"u.toml\"\nrealm = \"My place\"\n"
    );
    let config = parse(&text).expect("valid");
    let auth = config.points[0].auth.as_ref().expect("there");
    assert_eq!(auth.methods, [AuthMethod::Digest, AuthMethod::Basic]);
    assert_eq!(auth.users, Path::new("/etc/ringcast/u.toml"));
    let wrong = |lines: &str| {
        let p = problem(&format!("{head}{lines}"));
        (p.line, p.key)
    };
    let at = |line, key: &str| (Some(line), format!("point[1].auth.{key}"));
    assert_eq!(wrong("users = \"u\"\nmethods = []\n"), at(7, "methods"));
    let twice = "users = \"u\"\nmethods = [\"ntlm\", \"ntlm\"]\n";
    assert_eq!(wrong(twice), at(7, "methods[2]"));
    assert_eq!(wrong("users = \"\"\n"), at(6, "users"));
    for realm in ["", "a\\\"b", "é"] {
        assert_eq!(
            wrong(&format!("users = \"u\"\nrealm = \"{realm}\"\n")),
            at(7, "realm")
        );
    }
    let p = problem(&format!("{head}users = \"u\"\nmethods = [\"kerberos\"]\n"));
    assert!(
        p.what.contains("kerberos") && p.what.contains("`digest`"),
        "{}",
        p.what
    );
    let p = problem(&format!("{head}realm = \"r\"\n"));
    assert!(p.what.contains("users"), "{}", p.what);
    // The API takes and gives it too.
    let json = r#"{"kind": "broadcast", "source": "c", "auth": {"users": "u"}}"#;
    let point = super::parse_point("a", json, Path::new("/x")).expect("valid");
    assert_eq!(point.auth.map(|a| a.users), Some("/x/u".into()));
}
