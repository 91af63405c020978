//! The driver: inputs to a machine, its outputs to the core.

use super::listen::adopt;
use crate::points::answer;
use crate::rt;
use crate::shard::{Adopted, Message, Shard, Written};
use bytes::Bytes;
use protocols::content::{Protocol, Question};
use protocols::machine::{
    CloseHow, ConnId, CoreId, Fault, Input, Machine, Output, Service, Ticket, Time,
};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

/// A machine on a core.
pub struct Front {
    machine: RefCell<Box<dyn Machine>>,
    deadline: Cell<Option<Time>>,
    /// What connections are handed to it for.
    pub service: Service,
    /// Its family, for what is logged before a session says more.
    pub protocol: Protocol,
    /// Its first listener, likewise.
    pub local: SocketAddr,
}

impl Front {
    /// A machine that has seen nothing yet.
    pub fn new(
        machine: Box<dyn Machine>,
        service: Service,
        protocol: Protocol,
        local: SocketAddr,
    ) -> Front {
        Front {
            service,
            machine: RefCell::new(machine),
            deadline: Cell::new(None),
            protocol,
            local,
        }
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline.get()
    }

    /// True if it wants to be woken now.
    pub fn is_due(&self, now: Time) -> bool {
        self.deadline.get().is_some_and(|at| at <= now)
    }
}

/// Give a machine one input and carry out all it wants.
pub fn feed(shard: &Rc<Shard>, number: u8, input: Input<'_>) {
    let Some(front) = shard.front(number) else {
        return;
    };
    let now = rt::now();
    let mut machine = front.machine.borrow_mut();
    machine.handle(now, input);
    loop {
        match machine.poll(now) {
            Output::Idle(deadline) => {
                front.deadline.set(deadline);
                break;
            }
            output => carry_out(shard, number, &front, output, now),
        }
    }
    drop(machine);
    shard.deliver_events();
}

/// One output. Never calls the machine: what follows from it is queued.
fn carry_out(shard: &Rc<Shard>, number: u8, front: &Front, output: Output, now: Time) {
    match output {
        Output::Send { conn, bytes } => {
            let written = shard.conns().borrow_mut().write(conn, bytes);
            if written == Written::Queued {
                shard.hurry();
            }
        }
        Output::Close { conn, how, fault } => close(shard, front, conn, how, fault, now),
        Output::Move { conn, core, unread } => hand_over(shard, number, conn, core, unread),
        Output::Ask { ticket, question } => ask(shard, number, ticket, *question),
        Output::Flow { flow, command } => shard.command_flow(number, flow, command, now),
        Output::Release { content } => shard.release_content(content),
        Output::Report(report) => shard.report(number, *report, front),
        Output::SendTo {
            conn,
            channel,
            peer,
            bytes,
        } => shard.send_datagram(number, conn, channel, peer, &bytes),
        Output::Pass {
            core,
            channel,
            peer,
            bytes,
        } => shard.call(
            core,
            Message::Datagram {
                front: number,
                channel,
                peer,
                bytes,
            },
        ),
        Output::Switch {
            conn,
            service,
            unread,
        } => switch(shard, conn, service, unread),
        Output::Ingest(ingest) => shard.ingest(number, &ingest),
        Output::Withdraw { session, destroy } => shard.withdraw(number, session, destroy),
        Output::Connect { .. } | Output::Join { .. } => {
            tracing::error!("a server machine asked for what this front end does not have");
        }
        Output::Idle(_) => {}
    }
}

fn close(
    shard: &Shard,
    front: &Front,
    conn: ConnId,
    how: CloseHow,
    fault: Option<Fault>,
    now: Time,
) {
    shard.drop_flow_of(conn, now);
    if let Some(fault) = fault {
        shard.report_fault(front.protocol, conn, fault);
    }
    shard.conns().borrow_mut().close(conn, how, now);
    shard.hurry();
}

fn ask(shard: &Rc<Shard>, number: u8, ticket: Ticket, question: Question) {
    let shard = Rc::clone(shard);
    rt::spawn(async move {
        let answer = answer(&shard, number, question).await;
        feed(&shard, number, Input::Answer { ticket, answer });
    });
}

/// To the same front end on another core.
fn hand_over(shard: &Rc<Shard>, number: u8, conn: ConnId, core: CoreId, unread: Bytes) {
    if let Some(adopted) = give_away(shard, conn, number, unread) {
        shard.call(core, Message::Adopt(Box::new(adopted)));
    }
}

/// To another front end on this core.
fn switch(shard: &Rc<Shard>, conn: ConnId, service: Service, unread: Bytes) {
    let Some(front) = shard.front_of(service) else {
        tracing::error!(?service, "a connection for a front end that is not there");
        shard.conns().borrow_mut().break_off(conn);
        return;
    };
    if let Some(adopted) = give_away(shard, conn, front, unread) {
        adopt(shard, adopted);
    }
}

fn give_away(shard: &Shard, conn: ConnId, front: u8, unread: Bytes) -> Option<Adopted> {
    let mut conns = shard.conns().borrow_mut();
    let fd = conns.get(conn)?.fd;
    let given = conns.give_away(conn)?;
    match rt::duplicate(fd) {
        Ok(fd) => Some(Adopted {
            front,
            fd,
            unread,
            given,
        }),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be handed over");
            None
        }
    }
}
