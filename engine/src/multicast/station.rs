//! The station file of a point: what its receivers must know, and who may read it from any core.

use crate::points::Point;
use bytes::Bytes;
use protocols::nsc::{FormatIds, Station, Style, WriteError};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a point's sender puts what its station file lists, and every core finds it.
#[derive(Debug, Default)]
pub struct StationSlot {
    listed: Mutex<Option<Arc<Listed>>>,
}

/// What only the sender knows.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Every header that the point has aired or may air.
    pub formats: FormatIds,
    /// From where datagrams come, if that is to be told.
    pub adapter: Option<IpAddr>,
}

impl StationSlot {
    /// What is listed now; nothing before there is a header.
    pub fn listed(&self) -> Option<Arc<Listed>> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.clone()
    }

    /// List something else from now on.
    pub(super) fn publish(&self, listed: Listed) {
        let listed = (!listed.formats.is_empty()).then(|| Arc::new(listed));
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = listed;
    }
}

/// The station of a point, for those who reach the server under the name `host`; `None` if the point has
/// none, or not yet.
// NSC-22, NSC-24, NSC-30
pub fn station(point: &Point, host: &str) -> Option<Station> {
    let config = point.config.multicast.as_ref()?;
    let listed = point.station.listed()?;
    let name = &point.config.name;
    let unicast = || format!("http://{host}/{name}");
    Some(Station {
        name: Some(format!("{host}, {name}")),
        // NSC-33
        adapter: listed.adapter,
        ttl: Some(config.ttl),
        default_ecc: (config.fec_span > 0).then(|| config.fec_span.into()),
        // NSC-23, WMLOG-41
        log_url: config.log_url.clone(),
        unicast_url: Some(config.unicast_url.clone().unwrap_or_else(unicast)),
        network_buffer_ms: u32::try_from(config.network_buffer.get().as_millis()).ok(),
        ..Station::new(config.group, &listed.formats)
    })
}

/// The file of a station.
///
/// # Errors
/// As [`Station::write`].
pub fn file(station: &Station) -> Result<Bytes, WriteError> {
    // NSC-34
    station.write(Style::Encoded).map(Bytes::from)
}
