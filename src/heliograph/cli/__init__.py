"""The `heliograph` command, one module a subcommand, each loaded only when it is called."""
