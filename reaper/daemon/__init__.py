"""The long-running process: look, decide, warn, look again, act, and write everything down."""
