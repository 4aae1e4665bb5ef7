"""The stream: collector, agents, pure stages, redaction, sink and lake."""
