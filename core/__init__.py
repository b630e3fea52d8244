"""Pure core: meaning of features, contracts, decisions. No I/O, no framework, no hidden clock."""
