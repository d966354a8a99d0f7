"""What `reaper check` sees, judges and shows."""
