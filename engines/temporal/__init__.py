"""The default temporal head: simulators, filters, training, judgement."""
