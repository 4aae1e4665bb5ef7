"""The command `millrace`: one module a subcommand."""
