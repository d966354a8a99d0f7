"""Rules that say when something is to be reaped: pure, one file a rule, each an entry point."""
