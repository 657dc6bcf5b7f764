"""Hours of the day: how busy, how fast, and whether that is a rush hour."""

import headwater as hw

RUSH = 1.25  # times the mean hour


@hw.model(
    key="hour",
    owner="operations",
    columns={
        "hour": {"type": "integer", "min": 0, "max": 23, "description": "Hour of the pick-up."},
        "trips": {"type": "bigint", "min": 1},
        "busyness": {"type": "double", "min": 0, "description": "Trips over those of a mean hour."},
        "miles_per_hour": {"type": "double", "min": 0, "description": "Median speed."},
        "is_rush": "boolean",
    },
)
def hourly_profile(trips: hw.Input("staging.trips")):
    """How busy and how fast each hour of the day is."""
    hours = trips.aggregate(
        "hour(pickup_at)::INTEGER AS hour, count(*) AS trips, "
        "median(miles_per_hour) AS miles_per_hour"
    ).order("hour")
    table = hours.to_arrow_table()
    counts = table["trips"].to_pylist()
    mean = sum(counts) / len(counts)
    busyness = [round(count / mean, 3) for count in counts]
    return (
        table.append_column("busyness", [busyness])
        .append_column("is_rush", [[value >= RUSH for value in busyness]])
        .select(["hour", "trips", "busyness", "miles_per_hour", "is_rush"])
    )
