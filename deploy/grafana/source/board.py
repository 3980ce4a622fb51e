"""What a dashboard is made of, and how it becomes Grafana's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

Kind = Literal["lines", "stack", "number", "states", "bars"]
SOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTHS = {"number": 4, "bars": 8, "lines": 8, "stack": 8, "states": 12}  # of 24
HEIGHTS = {"number": 4, "bars": 8, "lines": 8, "stack": 8, "states": 8}
GREEN, YELLOW, RED = "green", "yellow", "red"
OUTCOMES = {  # what always has the same colour
    "success": "#73bf69",
    "partial": "#ff9830",
    "upstream_error": "#f2495c",
    "timeout": "#b877d9",
    "shed": "#fade2a",
    "rejected": "#5794f2",
    "client_cancelled": "#9fa7b3",
}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression in PromQL, and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel; `what` says what it shows and what to do about it, `limits` where it turns yellow and red."""

    title: str
    what: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    limits: tuple[float, float] | None = None
    low: bool = False  # what is below the limits is bad, not what is above
    names: tuple[str, ...] = ()  # of the values 0, 1, 2 ... of states
    height: int = 0  # in lines of the grid, where it is not the usual one


@dataclass(frozen=True, slots=True)
class Filter:
    """A variable of a dashboard: the values that a label of a metric has."""

    name: str
    label: str
    of: str  # the metric


@dataclass(frozen=True, slots=True)
class Row:
    """Charts under a heading."""

    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; `file` is its name among the files and in links."""

    file: str
    title: str
    about: str
    filters: tuple[Filter, ...]
    rows: tuple[Row, ...]


Panel = stat.Panel | bargauge.Panel | statetimeline.Panel | timeseries.Panel


def built(board: Board) -> model.Dashboard:
    """The dashboard as Grafana's model."""
    made = (
        dashboard.Dashboard(f"Llama Gateway / {board.title}")
        .uid(f"llama-gateway-{board.file}")
        .description(board.about)
        .tags(["llama-gateway"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("Llama Gateway")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["llama-gateway"])
            .as_dropdown(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for each in board.filters:
        made = made.with_variable(variable(each))
    for row in board.rows:
        made = made.with_row(dashboard.Row(row.title))
        for chart in row.charts:
            made = made.with_panel(panel(chart))
    found = made.build()
    for number, one in enumerate(found.panels or (), 1):
        one.id_val = number
    return found


def variable(one: Filter) -> dashboard.QueryVariable:
    """A filter, all values unless some are chosen."""
    return (
        dashboard.QueryVariable(one.name)
        .label(one.name)
        .datasource(SOURCE)
        .query(f"label_values({one.of}, {one.label})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def panel(chart: Chart) -> Panel:
    """The panel of a chart."""
    made = shaped(chart)
    for place, query in enumerate(chart.queries):
        made = made.with_target(target(query, chr(ord("A") + place), chart))
    return (
        made.title(chart.title)
        .description(chart.what)
        .unit(chart.unit)
        .datasource(SOURCE)
        .span(WIDTHS[chart.kind])
        .height(chart.height or HEIGHTS[chart.kind])
        .thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps(chart)))
    )


def target(query: Query, ref: str, chart: Chart) -> prometheus.Dataquery:
    """One query of a panel."""
    made = prometheus.Dataquery().expr(query.expr).ref_id(ref).range().datasource(SOURCE)
    if chart.unit == "s" and "_bucket" in query.expr:
        made = made.exemplar(True)
    return made.legend_format(query.legend) if query.legend else made


def steps(chart: Chart) -> list[model.Threshold]:
    """Where the colour changes: from good to bad, or the other way round."""
    if chart.limits is None:
        return [model.Threshold(color=GREEN)]
    first, second = chart.limits
    colours = (RED, YELLOW, GREEN) if chart.low else (GREEN, YELLOW, RED)
    return [
        model.Threshold(color=colours[0]),
        model.Threshold(value=first, color=colours[1]),
        model.Threshold(value=second, color=colours[2]),
    ]


def shaped(chart: Chart) -> Panel:
    """The empty panel of a chart's kind."""
    if chart.kind == "number":
        return stat.Panel().graph_mode(kinds.BigValueGraphMode.AREA).reduce_options(last())
    if chart.kind == "bars":
        made = bargauge.Panel().orientation(kinds.VizOrientation.HORIZONTAL).reduce_options(last()).min(0)
        made = made.display_mode(kinds.BarGaugeDisplayMode.BASIC)
        return made.max(1) if chart.unit == "percentunit" else made
    if chart.kind == "states":
        return statetimeline.Panel().mappings(mappings(chart.names)).show_value(kinds.VisibilityMode.NEVER)
    return curves(chart)


def curves(chart: Chart) -> timeseries.Panel:
    """Lines over time, or areas on top of one another; limits are drawn as lines."""
    made = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(40 if chart.kind == "stack" else 8)
        .show_points(kinds.VisibilityMode.NEVER)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    if chart.kind == "stack":
        made = made.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if any("{{outcome}}" in query.legend for query in chart.queries):
        for name, colour in OUTCOMES.items():
            made = made.override_by_name(name, [fixed(colour)])
    if chart.limits is not None:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        made = made.thresholds_style(style)
    return made


def fixed(colour: str) -> model.DynamicConfigValue:
    """A colour that does not depend on the order of the series."""
    return model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def last() -> common.ReduceDataOptions:
    """The newest value stands for a series."""
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def mappings(names: Sequence[str]) -> list[model.ValueMapping]:
    """What the values of states are called, the worse the redder."""
    colours = (GREEN, YELLOW, RED) if len(names) > 2 else (RED, GREEN)
    options = {
        str(value): model.ValueMappingResult(text=name, color=colours[value], index=value)
        for value, name in enumerate(names)
    }
    return [model.ValueMap(options=options)]
