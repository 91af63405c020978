use super::kernel::{choose_cpus, explain_io_uring, judge_descriptors, judge_memory_lock};
use super::*;
use crate::ops::config::{PointConfig, PointKind};
use std::io;
use std::net::TcpListener;

fn config() -> Config {
    let mut config = Config::default();
    config.listen.http = vec!["127.0.0.1:0".parse().expect("address")];
    config.limits.player_connections = 10;
    config
}

fn findings(config: &Config) -> Vec<Finding> {
    let scope = Scope {
        ports: true,
        raise_limits: false,
    };
    check(config, scope).findings
}

fn found(config: &Config, part: &str) -> Finding {
    let all = findings(config);
    let one = all.iter().find(|f| f.what.contains(part));
    one.unwrap_or_else(|| panic!("nothing about {part:?} in {all:?}"))
        .clone()
}

#[test]
fn each_way_to_forbid_io_uring_has_its_own_remedy() {
    let say = |code, disabled| {
        explain_io_uring(&io::Error::from_raw_os_error(code), disabled, "4.19").to_string()
    };
    assert!(say(libc::EPERM, Some(2)).contains("kernel.io_uring_disabled = 2"));
    assert!(say(libc::EPERM, Some(1)).contains("io_uring_group"));
    assert!(say(libc::EPERM, Some(0)).contains("seccomp"));
    assert!(say(libc::EPERM, None).contains("seccomp"));
    assert!(say(libc::ENOSYS, None).contains("kernel 4.19"));
    assert!(say(libc::ENOMEM, None).contains("LimitMEMLOCK"));
}

#[test]
fn locked_memory_below_the_runtime_s_need_is_fatal() {
    let finding = judge_memory_lock(64 << 10, 64 << 10, true).expect("too little");
    assert_eq!(finding.severity, Severity::Fatal);
    assert!(finding.to_string().starts_with(
        "the process may lock only 64KiB of memory; 512KiB are needed; raise the limit (systemd: LimitMEMLOCK=64M"
    ));
    assert_eq!(judge_memory_lock(8 << 20, 8 << 20, true), None);
    // A start would raise the soft limit.
    assert_eq!(judge_memory_lock(64 << 10, 8 << 20, false), None);
}

#[test]
fn too_few_descriptors_for_the_sessions_are_told() {
    assert_eq!(judge_descriptors(1_048_576, 100_000), None);
    let finding = judge_descriptors(4096, 100_000).expect("too few");
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.to_string().contains("3584 connections"));
    assert!(finding.mend.contains("LimitNOFILE=200000"));
    let finding = judge_descriptors(256, 10).expect("far too few");
    assert_eq!(finding.severity, Severity::Fatal);
}

#[test]
fn cpus_come_from_the_ones_allowed() {
    assert_eq!(choose_cpus(&[2, 3, 5], None, None), (vec![2, 3, 5], None));
    assert_eq!(choose_cpus(&[2, 3, 5], Some(2), None), (vec![2, 3], None));
    assert!(choose_cpus(&[2, 3], Some(3), None).1.is_some());
    let (_, finding) = choose_cpus(&[2, 3], None, Some(&[3, 4]));
    let finding = finding.expect("CPU 4 is not allowed");
    assert_eq!(
        finding.to_string(),
        "server.cpus names CPU 4, which this process may not use; choose from 2, 3"
    );
}

#[test]
fn a_taken_port_names_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut config = config();
    config.listen.http = vec![holder.local_addr().expect("address")];
    let finding = found(&config, "listen.http: 127.0.0.1:");
    assert_eq!(finding.severity, Severity::Fatal);
    let pid = std::process::id();
    assert!(
        finding.what.contains(" is taken by ") && finding.what.contains(&format!("(pid {pid})")),
        "{finding}"
    );
    // Another instance that shares its port is noticed too.
    drop(holder);
    let shared =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    shared.set_reuse_port(true).expect("option");
    shared.set_reuse_address(true).expect("option");
    shared.bind(&config.listen.http[0].into()).expect("bind");
    shared.listen(1).expect("listen");
    assert_eq!(found(&config, " is taken").severity, Severity::Fatal);
}

#[test]
fn an_address_of_another_machine_is_told() {
    let mut config = config();
    config.listen.admin = Some("192.0.2.1:9090".parse().expect("address"));
    assert_eq!(
        found(&config, "192.0.2.1 is no address of this machine").severity,
        Severity::Fatal
    );
}

#[test]
fn the_listening_socket_is_found_in_the_kernel_s_table() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n\
        \x20  1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0\n";
    assert_eq!(super::net::listening_inode(table, 8080), Some("222"));
    assert_eq!(super::net::listening_inode(table, 81), None);
}

#[test]
fn a_congestion_control_that_the_kernel_lacks_is_fatal() {
    let mut config = config();
    config.listen.congestion = "nosuch".into();
    let finding = found(&config, "does not have \"nosuch\"");
    assert_eq!(finding.severity, Severity::Fatal);
    assert!(finding.mend.contains("modprobe tcp_nosuch"));
}

#[test]
fn a_missing_source_is_told_and_keeps_nobody_from_starting() {
    let mut config = config();
    config.points = vec![
        PointConfig::new("gone", PointKind::Broadcast, "/nowhere/clip.wmv"),
        PointConfig::new("dir", PointKind::Broadcast, "/"),
        PointConfig::new("fine", PointKind::OnDemand, "/"),
    ];
    assert_eq!(
        found(
            &config,
            "point \"gone\": source /nowhere/clip.wmv: does not exist"
        )
        .severity,
        Severity::Warning
    );
    assert!(
        found(&config, "point \"dir\"")
            .what
            .ends_with("is a directory")
    );
    assert!(
        !findings(&config)
            .iter()
            .any(|f| f.what.contains("\"fine\""))
    );
}

#[test]
fn a_log_directory_that_cannot_be_is_fatal() {
    let mut config = config();
    config.log.directory = Some("/proc/version/logs".into());
    let finding = found(&config, "log.directory /proc/version/logs");
    assert_eq!(finding.severity, Severity::Fatal);
    assert_eq!(check(&config, Scope::LOOK).fatal(), Some(&finding));
}
