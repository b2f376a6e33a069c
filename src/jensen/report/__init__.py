"""Tables for a terminal, figures, and one self-contained page for each run."""

from jensen.report.page import write_report
from jensen.report.samples import write_samples
from jensen.report.tables import evaluation_table, evaluation_tables, information_table

__all__ = ["evaluation_table", "evaluation_tables", "information_table", "write_report", "write_samples"]
