"""Which estimator to use on this f and this q: bias, variance and price of each, measured."""

from jensen.gradients.audit.driver import audit
from jensen.gradients.audit.methods import MethodLike
from jensen.gradients.audit.result import Audit, Row, Skipped

__all__ = ["Audit", "MethodLike", "Row", "Skipped", "audit"]
