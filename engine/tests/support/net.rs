//! Networks of a test's own: two namespaces with a cable between them. Needs root and `ip`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

/// Addresses of the two ends, and how the device of either is called.
pub const NEAR4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const FAR4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const NEAR6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub const FAR6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
const NEAR: &str = "near0";
const FAR: &str = "far0";

/// Runs `test` in a namespace of its own, from which a cable leads to another one. There `sockets` has made
/// what it is given: sockets stay where they were made.
pub fn across_a_cable<S: Send>(sockets: impl FnOnce() -> S + Send, test: impl FnOnce(S) + Send) {
    let near = thread::scope(|scope| scope.spawn(|| near_end(sockets, test)).join());
    near.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn near_end<S: Send>(sockets: impl FnOnce() -> S + Send, test: impl FnOnce(S)) {
    enter_new_net();
    let (tell_thread, far_thread) = mpsc::channel();
    let (plug_in, plugged) = mpsc::channel();
    let made = thread::scope(|scope| {
        let far = scope.spawn(move || {
            enter_new_net();
            // SAFETY: asks for the calling thread's number, nothing else.
            tell_thread.send(unsafe { libc::gettid() }).expect("heard");
            plugged.recv().expect("a cable");
            address(FAR, FAR4, FAR6);
            sockets()
        });
        let thread = far_thread.recv().expect("a thread").to_string();
        ip(&format!(
            "link add name {NEAR} type veth peer name {FAR} netns {thread}"
        ));
        address(NEAR, NEAR4, NEAR6);
        plug_in.send(()).expect("heard");
        far.join()
    });
    test(made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
}

fn address(device: &str, v4: Ipv4Addr, v6: Ipv6Addr) {
    ip(&format!("addr add {v4}/24 dev {device}"));
    ip(&format!("-6 addr add {v6}/64 dev {device} nodad"));
    ip(&format!("link set {device} up"));
}

/// For the calling thread and those that it starts.
fn enter_new_net() {
    // SAFETY: a plain flag; the thread has no sockets yet.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    let why = io::Error::last_os_error();
    assert_eq!(entered, 0, "no network namespace (needs root): {why}");
    ip("link set lo up");
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).output();
    let done = done.expect("the program ip (iproute2)");
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {words}: {why}");
}

/// Number of a device.
pub fn number_of(device: &str) -> u32 {
    let name = std::ffi::CString::new(device).expect("a name");
    // SAFETY: a C string that outlives the call.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(number, 0, "no device {device}");
    number
}
