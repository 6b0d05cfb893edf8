#!/usr/bin/env python3
"""Writes deploy/grafana/dashboards/dejavu.json, the Grafana dashboard.

tools/make_dashboard.py [FILE]
"""

import json
import sys
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[1] / "deploy/grafana/dashboards/dejavu.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = '{job="$job", instance=~"$instance"}'
QUANTILES = (0.5, 0.9, 0.99)
WIDTH = 24


def rate(metric, labels=HERE):
    return f"rate({metric}{labels}[$__rate_interval])"


def total(metric, by=""):
    by = f"by ({by}) " if by else ""
    return f"sum {by}({rate(metric)})"


def quantiles(histogram):
    """[(expression, legend)] for a histogram over all instances."""
    buckets = total(f"{histogram}_bucket", "le")
    return [(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in QUANTILES]


def ratio(part, whole):
    return f"{total(part)} / {total(whole)}"


def panel(kind, title, targets, *, unit="short", width=8, height=8, description="", **field):
    """A panel without place; targets: [(expression, legend)]."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, **field}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for i, (expr, legend) in enumerate(targets)
        ],
    }


def graph(title, targets, **options):
    options.setdefault("min", 0)
    one = panel("timeseries", title, targets, **options)
    one["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    one["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
    return one


def stat(title, expr, **options):
    one = panel("stat", title, [(expr, "")], width=4, height=4, **options)
    one["options"] = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return one


def heat_map(title, target, **options):
    one = panel("heatmap", title, [target], width=12, **options)
    one["options"] = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Viridis", "steps": 64},
        "cellGap": 0,
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": True},
    }
    return one


def latency_map(title, histogram):
    """Buckets over time."""
    one = heat_map(title, (total(f"{histogram}_bucket", "le"), "{{le}}"))
    one["targets"][0]["format"] = "heatmap"
    one["options"]["yAxis"] = {"unit": "s"}
    return one


def layer_map(title, block, part, whole, *, window="$__rate_interval", **options):
    """Layers over time, coloured by a ratio of two counters of a block kind."""
    labels = HERE[:-1] + f', block="{block}"}}'
    by_layer = " / ".join(f"sum by (layer) (rate(dejavu_sparsity_{one}{labels}[{window}]))" for one in (part, whole))
    # Two digits, so that rows sorted by name are sorted by number.
    padded = f'label_replace({by_layer}, "layer", "0$1", "layer", "(.)")'
    one = heat_map(title, (padded, "layer {{layer}}"), unit="percentunit", **options)
    one["options"]["color"].update({"min": 0, "max": 1})
    one["options"]["filterValues"] = {"le": -1}  # 0 is a value
    return one


def table(title, expr, **options):
    one = panel("table", title, [(expr, "")], **options)
    one["targets"][0].update({"format": "table", "instant": True})
    hidden = {"Time": True, "Value": True, "__name__": True, "job": True}
    one["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return one


def steps(*pairs):
    """Thresholds: (value, colour), the first from the bottom."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in pairs]}


FAILED = rate("dejavu_requests_total", HERE[:-1] + ', outcome=~"internal|unavailable|deadline_exceeded"}')

ROWS = {
    "Now": [
        stat("Ready", f"sum(dejavu_ready{HERE})", thresholds=steps((None, "red"), (1, "green"))),
        stat("Running", f"sum(dejavu_requests_running{HERE})"),
        stat("Waiting", f"sum(dejavu_requests_waiting{HERE})", thresholds=steps((None, "green"), (16, "orange"))),
        stat("Generated tokens/s", total("dejavu_generation_tokens_total"), decimals=1),
        stat(
            "Failed requests",
            f"sum({FAILED}) / {total('dejavu_requests_total')}",
            unit="percentunit",
            thresholds=steps((None, "green"), (0.01, "orange"), (0.05, "red")),
        ),
        stat(
            "KV cache",
            f"max(dejavu_kv_cache_usage_ratio{HERE})",
            unit="percentunit",
            thresholds=steps((None, "green"), (0.8, "orange"), (0.95, "red")),
            description="The fullest instance: pages held by live sequences.",
        ),
    ],
    "Latency": [
        graph("Time to first token", quantiles("dejavu_time_to_first_token_seconds"), unit="s"),
        graph("Time between tokens", quantiles("dejavu_inter_token_latency_seconds"), unit="s"),
        graph("Whole request", quantiles("dejavu_e2e_request_latency_seconds"), unit="s"),
        latency_map("Time to first token, requests/s", "dejavu_time_to_first_token_seconds"),
        latency_map("Time between tokens, tokens/s", "dejavu_inter_token_latency_seconds"),
    ],
    "Objectives": [
        graph(
            "First token later than 1 s",
            [
                ('job:dejavu_time_to_first_token_slow:ratio_rate5m{job="$job"}', "5 minutes"),
                ('job:dejavu_time_to_first_token_slow:ratio_rate1h{job="$job"}', "1 hour"),
                ('job:dejavu_time_to_first_token_slow:ratio_rate6h{job="$job"}', "6 hours"),
            ],
            unit="percentunit",
            width=12,
            description="Share of requests. The objective allows 5 %.",
        ),
        graph(
            "Token later than 0.1 s after the one before",
            [
                ('job:dejavu_inter_token_latency_slow:ratio_rate5m{job="$job"}', "5 minutes"),
                ('job:dejavu_inter_token_latency_slow:ratio_rate1h{job="$job"}', "1 hour"),
                ('job:dejavu_inter_token_latency_slow:ratio_rate6h{job="$job"}', "6 hours"),
            ],
            unit="percentunit",
            width=12,
            description="Share of tokens. The objective allows 1 %.",
        ),
    ],
    "Throughput": [
        graph(
            "Tokens/s",
            [
                (total("dejavu_generation_tokens_total"), "generated"),
                (total("dejavu_prompt_tokens_total"), "prompt"),
            ],
        ),
        graph("Requests/s by outcome", [(total("dejavu_requests_total", "outcome"), "{{outcome}}")], unit="reqps"),
        graph("Requests/s by API", [(total("dejavu_requests_total", "api"), "{{api}}")], unit="reqps"),
    ],
    "Engine": [
        graph(
            "Sequences",
            [
                (f"dejavu_requests_running{HERE}", "running {{instance}}"),
                (f"dejavu_requests_waiting{HERE}", "waiting {{instance}}"),
            ],
        ),
        graph("Time in queue", quantiles("dejavu_request_queue_time_seconds"), unit="s"),
        graph(
            "Batch: sequences in a step",
            [
                (ratio("dejavu_step_batch_size_sum", "dejavu_step_batch_size_count"), "mean"),
                *quantiles("dejavu_step_batch_size")[1:],
            ],
        ),
        graph("Duration of a step", quantiles("dejavu_step_duration_seconds"), unit="s"),
        graph("KV cache", [(f"dejavu_kv_cache_usage_ratio{HERE}", "{{instance}}")], unit="percentunit", max=1),
        graph(
            "Prompt tokens found in the prefix cache",
            [(ratio("dejavu_prefix_cache_hits_total", "dejavu_prefix_cache_queries_total"), "hit ratio")],
            unit="percentunit",
            max=1,
        ),
        graph("Preemptions/s", [(rate("dejavu_preemptions_total"), "{{instance}}")], width=12),
        graph("Steps/s", [(rate("dejavu_step_duration_seconds_count"), "{{instance}}")], width=12),
    ],
    "Sparsity": [
        graph(
            "Density",
            [
                ('job:dejavu_sparsity_density:ratio_rate5m{job="$job"}', "{{block}}"),
                (f"avg by (block) (dejavu_sparsity_predicted_density_ratio{HERE})", "{{block}}, calibrated"),
            ],
            unit="percentunit",
            max=1,
            description="Share of the neurons (mlp) and KV groups (heads) that sparsely computed tokens read.",
        ),
        graph(
            "Recall of audited tokens",
            [
                ('job:dejavu_sparsity_recall:ratio_rate30m{job="$job"}', "{{block}}"),
                (f"avg by (block) (dejavu_sparsity_predicted_recall_ratio{HERE})", "{{block}}, calibrated"),
            ],
            unit="percentunit",
            max=1,
            description="Share of the units that a token needs which were in its set, over half an hour.",
        ),
        graph(
            "Agreement with dense",
            [('job:dejavu_sparsity_agreement:ratio_rate30m{job="$job"}', "agreement")],
            unit="percentunit",
            max=1,
            description="One minus the mean relative error of audited blocks' outputs, over half an hour.",
        ),
        layer_map("MLP density by layer", "mlp", "selected_units_total", "candidate_units_total"),
        layer_map("Head density by layer", "heads", "selected_units_total", "candidate_units_total"),
        layer_map(
            "MLP recall by layer",
            "mlp",
            "audit_recalled_units_total",
            "audit_active_units_total",
            window="30m",
            description="Of audited tokens, over half an hour. Empty where nothing was audited.",
        ),
        layer_map(
            "Head recall by layer",
            "heads",
            "audit_recalled_units_total",
            "audit_active_units_total",
            window="30m",
            description="Of audited tokens, over half an hour. Empty where nothing was audited.",
        ),
        graph(
            "Error of audited outputs, worst blocks",
            [(f"topk(5, max by (layer, block) (dejavu_sparsity_audit_error_ratio{HERE}))", "{{block}} {{layer}}")],
            unit="percentunit",
            description="Recent audits, as --audit-error-limit (0.2) sees them: above it a block is widened, then dense.",
        ),
        graph(
            "Dense fallbacks",
            [
                (f"sum by (block) (dejavu_sparsity_dense_fallbacks_total{HERE})", "{{block}} dense until restart"),
                (f"sum by (block) (dejavu_sparsity_widened_total{HERE})", "{{block}} thresholds lowered"),
            ],
            description="Blocks that the audit made dense, and times it widened one.",
        ),
        graph(
            "How blocks are computed",
            [(total("dejavu_sparsity_steps_total", "method"), "{{method}}")],
            description="Blocks a second: gathered, read whole under masks, zeros skipped, dense.",
        ),
        graph(
            "Time in predictors",
            [(rate("dejavu_sparsity_predictor_seconds_total"), "{{instance}}")],
            unit="percentunit",
            width=12,
            description="Seconds of predictions a second; on a GPU estimated from the audited steps.",
        ),
        graph(
            "Predictor overlap",
            [
                (
                    ratio(
                        "dejavu_sparsity_predictor_overlapped_seconds_total", "dejavu_sparsity_predictor_seconds_total"
                    ),
                    "hidden behind other work",
                )
            ],
            unit="percentunit",
            max=1,
            width=12,
            description="Share of the predictors' time that ran beside other work: the output projection on a CPU, attention and MLP on a GPU.",
        ),
    ],
    "Process": [
        graph("CPUs used", [(rate("process_cpu_seconds_total"), "{{instance}}")]),
        graph("Resident memory", [(f"process_resident_memory_bytes{HERE}", "{{instance}}")], unit="bytes"),
        graph("Open files", [(f"process_open_fds{HERE}", "{{instance}}")]),
        graph("Up for", [(f"time() - process_start_time_seconds{HERE}", "{{instance}}")], unit="s"),
        table("Model", f"dejavu_model_info{HERE}"),
        table("Build", f"dejavu_build_info{HERE}"),
    ],
}


def variable(name, label, query, **more):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        **more,
    }


def placed():
    """Rows and panels with their places, left to right and downwards."""
    panels, y = [], 0
    for title, members in ROWS.items():
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}}
        )
        y += 1
        x = height = 0
        for one in members:
            if x + one["gridPos"]["w"] > WIDTH:
                y, x, height = y + height, 0, 0
            one["gridPos"].update({"x": x, "y": y})
            x += one["gridPos"]["w"]
            height = max(height, one["gridPos"]["h"])
            panels.append(one)
        y += height
    return [{"id": i, **one} for i, one in enumerate(panels, start=1)]


def dashboard():
    return {
        "uid": "dejavu",
        "title": "dejavu",
        "tags": ["dejavu"],
        "schemaVersion": 38,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                variable("job", "Job", "label_values(dejavu_ready, job)"),
                variable(
                    "instance",
                    "Instance",
                    'label_values(dejavu_ready{job="$job"}, instance)',
                    multi=True,
                    includeAll=True,
                    allValue=".*",
                    current={"text": ["All"], "value": ["$__all"]},
                ),
            ]
        },
        "annotations": {"list": []},
        "panels": placed(),
    }


def main():
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    file.write_text(json.dumps(dashboard(), indent=2) + "\n")


if __name__ == "__main__":
    main()
