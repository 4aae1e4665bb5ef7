"""The contracts of Millrace: events, outcomes, reasons, wire codecs and table schemas. No I/O but reading `wire/`."""
