"""What an estimator learns of its condition in `fit`, and asks of it in every later call."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _condition, _data, _spec
from autoenc._condition import Known


class Conditioned:
    """The part of `BaseAutoencoder` that is about conditions."""

    condition_categories_: NDArray[Any]
    condition_names_in_: NDArray[Any]

    def _known_condition(self) -> Known:
        learned = vars(self)
        return Known(learned.get("condition_categories_"), learned.get("condition_names_in_"))

    def _read_condition(
        self: Any, condition: Any, n_rows: int, *, goes_on: bool, name: str, n_columns: int | None, rows_of: str
    ) -> Any:
        """The condition of rows to fit to. What it is like is learned, where training does not go on."""
        declared = self.condition_categories
        if declared is not None:
            declared = _condition.declared(declared)
            if condition is None:
                raise ValueError(
                    f"condition_categories={self.condition_categories!r} is given, and {name} is not; allowed: both, "
                    "or condition_categories=None"
                )
        if not goes_on:
            for attribute in ("condition_categories_", "condition_names_in_"):
                self.__dict__.pop(attribute, None)
        if condition is None:
            return None
        known = self._known_condition()
        if goes_on and declared is not None and not np.array_equal(known.categories, declared):
            had = "none" if known.categories is None else _condition.listed(known.categories)
            raise ValueError(
                f"condition_categories has {_condition.listed(declared)}, and the fit that goes on had {had}; they "
                "must be the same"
            )
        columns, known = _data.check_condition(
            condition,
            precision=_spec.real_type(self.precision),
            name=name,
            n_rows=n_rows,
            known=known,
            learns=not goes_on,
            declared=declared,
            n_columns=n_columns,
            of="condition",
            rows_of=rows_of,
        )
        if known.categories is not None:
            self.condition_categories_ = known.categories
        if known.names is not None:
            self.condition_names_in_ = known.names
        return columns

    def _check_condition(self: Any, condition: Any, n_rows: int) -> Any:
        """The condition of some rows, which there must be exactly where the fit had one."""
        n = self._spec["n_conditions"]
        if not _condition.is_given(condition, n):
            return None
        return _data.check_condition(
            condition,
            precision=self._spec["precision"],
            n_rows=n_rows,
            n_columns=n,
            known=Known(self._spec["categories"], self._known_condition().names),
        )[0]
