"""Tables, figures and the HTML report of a job's results."""

from kdray.report.html import write_report, write_suite_report
from kdray.report.published import compare

__all__ = ["compare", "write_report", "write_suite_report"]
