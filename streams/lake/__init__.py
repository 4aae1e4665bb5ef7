"""The lake: its tables behind a port (`ports`), on Delta (`delta`), and what a person asks them (`query`)."""
