//! The calls of Flight by name, for those who see a request before gRPC has read it.

/// A call of the Flight service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Logs in; the only one that needs no login.
    Handshake,
    /// Receives a stream of any length: `DoPut`, `DoExchange`.
    Upload(&'static str),
    /// Receives one message that describes what is wanted.
    Request(&'static str),
    /// None that we know.
    Unknown,
}

impl Method {
    /// The call that a request's path names.
    pub(crate) fn of(path: &str) -> Self {
        let name = path
            .strip_prefix("/arrow.flight.protocol.FlightService/")
            .unwrap_or_default();
        match name {
            "Handshake" => Self::Handshake,
            "DoPut" => Self::Upload("DoPut"),
            "DoExchange" => Self::Upload("DoExchange"),
            "ListFlights" => Self::Request("ListFlights"),
            "GetFlightInfo" => Self::Request("GetFlightInfo"),
            "PollFlightInfo" => Self::Request("PollFlightInfo"),
            "GetSchema" => Self::Request("GetSchema"),
            "DoGet" => Self::Request("DoGet"),
            "DoAction" => Self::Request("DoAction"),
            "ListActions" => Self::Request("ListActions"),
            _ => Self::Unknown,
        }
    }

    /// Its name, one of a fixed set of words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handshake => "Handshake",
            Self::Upload(name) | Self::Request(name) => name,
            Self::Unknown => "unknown",
        }
    }
}
