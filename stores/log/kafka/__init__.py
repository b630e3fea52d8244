"""Events of a source in a topic of Kafka: the same log, with its open end on brokers."""
