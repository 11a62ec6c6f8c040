"""Tables, figures and the HTML report of a job's results."""

from kdray.report.html import write_report

__all__ = ["write_report"]
