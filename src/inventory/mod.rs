//! Method + host + path -> endpoint.
