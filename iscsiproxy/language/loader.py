"""From the text of a file to checked scenarios: the way in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.language.document import Node, Table, read_yaml, texts
from iscsiproxy.language.joins import check_joins
from iscsiproxy.language.matrix import combinations, read_params
from iscsiproxy.language.parameters import override
from iscsiproxy.language.problems import Problems, problem
from iscsiproxy.language.scenario import read_scenario
from iscsiproxy.language.shapes import as_table
from iscsiproxy.language.spec import ActSpec, Scenario

__all__ = ["lint", "load", "load_all", "load_tree"]

#: A word that neither stands behind `of` nor before the name of a field
_BINDABLE = re.compile(r"(?<![\w#.-])(?<!\bof )[A-Za-z_][\w#-]*(?![\w#-])(?!\.[A-Za-z])")
_PUT_TOGETHER = re.compile(r"[\w#-]\$|\$\w+[#-]")


def load(
    text: str,
    *,
    file: str,
    acts: Mapping[str, ActSpec],
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    built: bool = True,
) -> Scenario:
    """Read a file that stands for one run, or the run of `axes` of a file with a matrix.

    `file` is its name, for messages; `acts` are the acts there are; `params` overrides parameters by name. With `built`
    what cannot be run yet is an error too.

    Raises FileError for a file that is wrong (all its errors are in `others`), UsageError for wrong `params` or `axes`.
    """
    scenarios = load_all(text, file=file, acts=acts, params=params, built=built, axes=axes)
    if len(scenarios) > 1:
        names = ", ".join(scenarios[0].axes)
        raise UsageError(f"{file} stands for {len(scenarios)} runs (matrix of {names}); say which one")
    return scenarios[0]


def load_all(
    text: str,
    *,
    file: str,
    acts: Mapping[str, ActSpec],
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    built: bool = True,
) -> tuple[Scenario, ...]:
    """Read a file: one scenario for each combination of its matrix, or for those that agree with `axes`.

    Arguments and errors are those of `load`.
    """
    table = as_table(read_yaml(text, file), "a scenario")
    return load_tree(table, file=file, acts=acts, params=params, axes=axes, built=built)


def load_tree(
    table: Table,
    *,
    file: str,
    acts: Mapping[str, ActSpec],
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    built: bool = True,
) -> tuple[Scenario, ...]:
    """Read what a file says, wherever its tree comes from; arguments and errors are those of `load`."""
    problems = Problems(_bindable(table))
    scenarios = _read(table, file, acts, params or {}, axes or {}, problems)
    problems.raise_if_any()
    if built:
        for scenario in scenarios:
            check_joins(scenario)
    return scenarios


def _bindable(table: Node) -> frozenset[str] | None:
    """Give the words of a file that may bind a name: all but those that only look for what another binds.

    None if that cannot be told, since names are put together of parameters.
    """
    if any(_PUT_TOGETHER.search(text) for text in texts(table)):
        return None
    return frozenset(word[0] for text in texts(table) for word in _BINDABLE.finditer(text))


def _read(
    table: Table,
    file: str,
    acts: Mapping[str, ActSpec],
    params: Mapping[str, str],
    axes: Mapping[str, str],
    problems: Problems,
) -> tuple[Scenario, ...]:
    params_node, matrix_node = table.get("params"), table.get("matrix")
    values = override({} if params_node is None else read_params(params_node), params)
    runs = [(run, used) for run, used in combinations(matrix_node, values) if axes.items() <= run.items()]
    if not runs:
        wanted = ", ".join(f"{name}={value}" for name, value in axes.items())
        raise UsageError(f"{file} has no run with {wanted}")
    scenarios: list[Scenario] = []
    used_names: set[str] = set()
    for run, used in runs:
        scenario, more = read_scenario(table, file=file, acts=acts, params=values, axes=run, problems=problems)
        if problems:
            if scenarios:  # the runs before were right, so it lies in this one
                problems.explain(f"in the run with {', '.join(f'{name}={value}' for name, value in run.items())}")
            return ()
        scenarios.append(scenario)
        used_names |= used | more
    if isinstance(params_node, Table):
        for entry in params_node.entries:
            if entry.key.text not in used_names:
                message = f"the parameter `{entry.key.text}` is used nowhere"
                problems.add(problem(message, entry.key.position, f"`${entry.key.text}` stands for it"))
    return tuple(scenarios)


def lint(text: str, *, file: str, acts: Mapping[str, ActSpec], built: bool = True) -> tuple[FileError, ...]:
    """Give everything that is wrong with a file, in its order; nothing if it is right."""
    try:
        load_all(text, file=file, acts=acts, built=built)
    except FileError as error:
        return (error, *error.others)
    return ()
