"""How a single run learned, as an interactive chart; the page fills in the data."""

from __future__ import annotations

import altair as alt

from stprune.paper.report.vega_spec import Spec, finished

HEIGHT = 240
# Field of the data, and the axis that shows it.
QUANTITIES = {"validation_mae": "Validation MAE", "train_loss": "Training loss"}
THIS_RUN, FULL_RUN = "this run", "full training, same seed"


def curve_chart(field: str) -> Spec:
    """A quantity over the time of a run, full training of the same seed beside it.

    The page has to name the data set ``curve``, one row an epoch: ``run`` (``THIS_RUN`` or
    ``FULL_RUN``), ``epoch``, ``seconds`` and ``field``, one of ``QUANTITIES``.
    """
    title = QUANTITIES[field]
    run = (
        alt.Color("run:N")
        .scale(domain=[THIS_RUN, FULL_RUN], range=["#D55E00", "#000000"])
        .legend(alt.Legend(orient="bottom", title=None, labelLimit=0))
    )
    chart = (
        alt.Chart(alt.NamedData("curve"), name=field)
        .mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.4)
        .encode(
            x=alt.X("seconds:Q").title("Time so far (s)"),
            y=alt.Y(f"{field}:Q").title(title).scale(zero=False),
            color=run,
            strokeDash=alt.when(alt.datum.run == FULL_RUN).then(alt.value([4, 3])),
            order="epoch:Q",
            tooltip=[
                alt.Tooltip("run:N", title="Run"),
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("seconds:Q", title="Time so far (s)", format=".4~g"),
                alt.Tooltip(f"{field}:Q", title=title, format=".4~g"),
            ],
        )
    )
    return finished(chart.properties(width="container", height=HEIGHT))
