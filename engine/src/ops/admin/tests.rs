use super::*;
use crate::ops::config::PointKind;
use protocols::machine::CoreId;
use std::io::{Read, Write};
use std::sync::Mutex;

/// An engine that keeps names only.
struct Engine {
    readiness: Mutex<Readiness>,
    points: Mutex<Vec<PointConfig>>,
}

impl Control for Engine {
    fn readiness(&self) -> Readiness {
        *self.readiness.lock().expect("lock")
    }

    fn points(&self) -> Vec<PointStatus> {
        let points = self.points.lock().expect("lock");
        let status = |p: &PointConfig| PointStatus {
            name: p.name.clone(),
            kind: p.kind.name(),
            source: p.source.to_string(),
            state: PointState::Running,
            error: None,
            sessions: 0,
            input: None,
            archive: None,
        };
        points.iter().map(status).collect()
    }

    fn add_point(&self, point: PointConfig) -> Result<Added, ControlError> {
        if point.name == "broken" {
            return Err(ControlError::Invalid("no such file".into()));
        }
        let mut points = self.points.lock().expect("lock");
        if points.contains(&point) {
            return Ok(Added::Unchanged);
        }
        let before = points.len();
        points.retain(|p| p.name != point.name);
        let added = if points.len() < before {
            Added::Replaced
        } else {
            Added::Created
        };
        points.push(point);
        Ok(added)
    }

    fn remove_point(&self, name: &str) -> Result<(), ControlError> {
        let mut points = self.points.lock().expect("lock");
        let before = points.len();
        points.retain(|p| p.name != name);
        if points.len() == before {
            return Err(ControlError::NoSuchPoint(name.into()));
        }
        Ok(())
    }
}

struct Running {
    admin: Admin,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
}

fn start() -> Running {
    start_with(STALL_LIMIT)
}

fn start_with(stall_limit: Duration) -> Running {
    let metrics = Metrics::new();
    metrics.core(CoreId(0)).beat();
    let engine = Arc::new(Engine {
        readiness: Mutex::new(Readiness::Starting),
        points: Mutex::new(vec![PointConfig::new("vod", PointKind::OnDemand, "/srv")]),
    });
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let base = PathBuf::from("/etc/ringcast");
    let api = Api {
        metrics: metrics.clone(),
        control: engine.clone(),
        base,
        stall_limit,
    };
    let admin = Admin::serve(listener, api).expect("start");
    Running {
        admin,
        engine,
        metrics,
    }
}

impl Running {
    /// Status and body.
    fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin.address()).expect("connect");
        stream.write_all(request.as_bytes()).expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .expect("a status");
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}"
        );
        (status, body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    fn put(&self, name: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.ask(&format!(
            "PUT /api/points/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }
}

#[test]
fn readiness_follows_the_engine() {
    let server = start();
    assert_eq!(server.get("/readyz"), (503, "starting\n".into()));
    *server.engine.readiness.lock().expect("lock") = Readiness::Ready;
    assert_eq!(server.get("/readyz"), (200, "ready\n".into()));
    *server.engine.readiness.lock().expect("lock") = Readiness::Draining;
    assert_eq!(server.get("/readyz"), (503, "draining\n".into()));
}

#[test]
fn health_is_that_of_the_cores() {
    let server = start();
    assert_eq!(server.get("/healthz"), (200, "ok\n".into()));
    // With no patience at all, a core that beat once has stalled.
    let server = start_with(Duration::ZERO);
    let (status, body) = server.get("/healthz");
    assert_eq!(status, 503);
    assert!(body.starts_with("core 0 has not ticked for "), "{body}");
}

#[test]
fn metrics_and_sums_are_served() {
    let server = start();
    server.metrics.core(CoreId(0)).sessions.set(7);
    let (status, body) = server.get("/metrics?x=1");
    assert_eq!(status, 200);
    assert!(body.contains("\nringcast_sessions{core=\"0\"} 7\n"));
    let (status, body) = server.get("/api/sessions");
    let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &value["total"]["sessions"]), (200, &7.into()));
    assert_eq!(value["state"], "starting");
}

#[test]
fn points_come_and_go() {
    let server = start();
    let live = "kind = \"broadcast\"\nsource = \"clip.wmv\"\n";
    assert_eq!(server.put("live", live).0, 201);
    assert_eq!(server.put("live", live).0, 200);
    let json = r#"{"kind": "broadcast", "source": "/x.wmv"}"#;
    let (status, body) = server.put("live", json);
    assert_eq!(status, 200);
    assert!(body.contains("\"replaced\""), "{body}");
    let (status, body) = server.get("/api/points/live");
    let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &value["source"]), (200, &"/x.wmv".into()));
    let delete = "DELETE /api/points/live HTTP/1.1\r\n\r\n";
    assert_eq!(server.ask(delete).0, 200);
    assert_eq!(server.ask(delete).0, 404);
    let (_, body) = server.get("/api/points");
    assert!(
        body.contains("\"vod\"") && !body.contains("\"live\""),
        "{body}"
    );
}

#[test]
fn relative_sources_are_relative_to_the_configuration() {
    let server = start();
    assert_eq!(
        server
            .put("a", "kind = \"broadcast\"\nsource = \"clip.wmv\"\n")
            .0,
        201
    );
    let points = server.engine.points.lock().expect("lock");
    let path = points[1].source.path().map(PathBuf::from);
    assert_eq!(path, Some(PathBuf::from("/etc/ringcast/clip.wmv")));
}

#[test]
fn what_is_wrong_with_a_point_is_told() {
    let server = start();
    let (status, body) = server.put(
        "a",
        "kind = \"broadcast\"\nsource = \"c\"\ncadence = \"3ms\"\n",
    );
    let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 422);
    assert_eq!(value["problems"][0]["key"], "cadence");
    assert_eq!(value["problems"][0]["line"], 3);
    let (status, body) = server.put("broken", "kind = \"broadcast\"\nsource = \"c\"\n");
    assert_eq!(status, 422);
    assert!(body.contains("no such file"));
}

#[test]
fn web_pages_change_nothing() {
    let server = start();
    let request = "DELETE /api/points/vod HTTP/1.1\r\nOrigin: http://evil\r\n\r\n";
    assert_eq!(server.ask(request).0, 403);
    assert_eq!(server.engine.points.lock().expect("lock").len(), 1);
}

#[test]
fn what_is_no_request_gets_an_answer() {
    let server = start();
    assert_eq!(server.ask("\u{1}\u{2}\r\n\r\n").0, 400);
    assert_eq!(server.get("/nothing").0, 404);
    assert_eq!(server.ask("POST /metrics HTTP/1.1\r\n\r\n").0, 405);
    assert_eq!(
        server
            .ask("PUT /api/points/a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
            .0,
        413
    );
    assert_eq!(
        server
            .ask("PUT /api/points/a HTTP/1.1\r\nContent-Length: x\r\n\r\n")
            .0,
        400
    );
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    let (status, _) = server.ask(&long);
    assert_eq!(status, 431);
}

#[test]
fn a_silent_peer_does_not_keep_others_out() {
    let server = start();
    let _silent = TcpStream::connect(server.admin.address()).expect("connect");
    assert_eq!(server.get("/healthz").0, 200);
}
