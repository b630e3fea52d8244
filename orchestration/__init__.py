"""When, where and with what: definitions, launcher, automation, command line."""
