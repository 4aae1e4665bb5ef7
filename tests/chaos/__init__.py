"""Chaos: the whole pipeline under load while its parts are killed, frozen, restarted and lied to; then an audit."""
