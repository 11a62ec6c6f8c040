"""What a service leaves behind under its storage: the audit log and the feedback."""
