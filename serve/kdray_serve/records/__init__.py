"""What is written down of requests and answers: metrics, log lines, audit log, feedback."""
