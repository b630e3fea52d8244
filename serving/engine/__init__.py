"""From a request to its answer, without a transport, a runtime or a store."""
