"""Methods: how a student learns from a teacher, a file a method."""
