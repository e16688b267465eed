"""Checks of examples/deploy against what the library really writes. Run by tests/deploy/run.sh.

    checks.py names     RULES DASHBOARD METRICS    every metric and label that is asked for is exported
    checks.py ecs       LOG OUT.ts                 the lines as literals of the type Ecs; run tsc over OUT.ts
    checks.py dashboard DASHBOARD OUT.ts           the same with the type Dashboard
    checks.py logstash  CONF OUT.json              the pipeline parses; its grok patterns for tests/deploy/grok
    checks.py grok      LOG CAPTURES               each line was taken by a pattern, and rightly
    checks.py filebeat  CONF LOG                   the file is YAML, and its pattern begins each line

Exit status 1 with a reason on standard output if something is wrong.
"""

import json
import re
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def records(path):
    return [json.loads(line) for line in read(path).splitlines()]


# --- metrics -------------------------------------------------------------------------------------------


def exported(text):
    """Names of samples with the labels that they have."""
    names = {}
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        match = re.match(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$", line)
        if not match:
            raise SystemExit(f"not a sample: {line}")
        labels = set(re.findall(r'([a-zA-Z_]\w*)="', match.group(2) or ""))
        names.setdefault(match.group(1), set()).update(labels)
    return names


def without_strings(expression):
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)


def metrics_in(expression):
    return set(re.findall(r"\b(?:deepseek|gen_ai)[_:][a-zA-Z0-9_:]*", without_label_lists(expression)))


def without_label_lists(expression):
    """Without strings, matchers and the lists behind by and without: what is left names metrics only."""
    text = re.sub(r"\{[^}]*\}", "", without_strings(expression))
    return re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)


def labels_in(expression):
    text = without_strings(expression)
    found = set()
    for matchers in re.findall(r"\{([^}]*)\}", text):
        found.update(re.findall(r'([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)', matchers))
    for names in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", text):
        found.update(name.strip() for name in names.split(",") if name.strip())
    return found


def rule_expressions(path):
    import yaml

    rules = [rule for group in yaml.safe_load(read(path))["groups"] for rule in group["rules"]]
    return [rule["expr"] for rule in rules], {rule["record"] for rule in rules if "record" in rule}


def dashboard_expressions(path):
    dashboard = json.loads(read(path))
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found.append(re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]).group(1))
    return found


def check_names(rules, dashboard, metrics):
    known = exported(read(metrics))
    of_rules, recorded = rule_expressions(rules)
    of_dashboard = dashboard_expressions(dashboard)
    prometheus_labels = {"job", "instance", "le"}
    known_labels = set().union(prometheus_labels, *known.values())
    asked = set()
    for expression in of_rules + of_dashboard:
        names = metrics_in(expression)
        if not names:
            yield f"names no metric: {expression}"
        asked |= names
        for name in names - recorded - known.keys():
            yield f"{name} is not exported: {expression}"
        for label in labels_in(expression) - known_labels:
            yield f"no metric has the label {label}: {expression}"
    for name in recorded - asked:
        yield f"{name} is recorded and never used"
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    for family in families - {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}:
        yield f"{family} is exported and shown nowhere"


# --- logs ----------------------------------------------------------------------------------------------


def nested(record):
    """Dotted names become objects, as Elasticsearch reads them."""
    tree = {}
    for name, value in record.items():
        *folders, leaf = name.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = value
    return tree


def write_ecs(log, out):
    lines = records(log)
    if not lines:
        yield "there are no lines"
    kinds = {}  # one line of each shape is enough for the compiler
    for record in lines:
        if next(iter(record)) != "@timestamp":
            yield f"does not begin with its date: {record}"
        kinds[tuple(record)] = record
    own = {name for record in lines for name in nested(record).get("deepseek", {})}
    types = "".join(f"{json.dumps(name)}?: number | string | boolean | {{ [name: string]: number }};" for name in sorted(own))
    text = 'import { Ecs } from "@elastic/ecs";\n'
    text += f"type Line = Ecs & {{ deepseek?: {{ {types} }} }};\n"
    for number, record in enumerate(kinds.values()):
        text += f"export const line{number}: Line = {json.dumps(nested(record))};\n"
    with open(out, "w", encoding="utf-8") as file:
        file.write(text)


def check_grok(log, captures):
    lines, taken = records(log), records(captures)
    if len(lines) != len(taken) or not lines:
        yield f"{len(lines)} lines, {len(taken)} answers"
    for line, found in zip(lines, taken):
        if found is None:
            yield f"no pattern takes {line}"
        elif (found["logged_at"], found["level"], found["action"]) != (
            line["@timestamp"], line["log.level"], line["event.action"],
        ):
            yield f"{found} is not what {line} says"


def check_filebeat(conf, log):
    import yaml

    settings = yaml.safe_load(read(conf))
    for entry in settings["filebeat.inputs"]:
        for key in ("type", "id", "paths"):
            if key not in entry:
                yield f"an input has no {key}"
        multiline = entry["parsers"][0]["multiline"]
        first = re.compile(multiline["pattern"])
        if not (multiline["negate"] is True and multiline["match"] == "after"):
            yield "lines that do not match are not added to the record before"
        for line in read(log).splitlines():
            if not first.search(line):
                yield f"does not begin a record: {line}"
        if first.search("  at some other program's line") or first.search("2026-11-24 plain text"):
            yield "the pattern takes anything"


def plugins(tree, name):
    """The settings of each plugin of that name, however deep in branches."""
    if isinstance(tree, list):
        if len(tree) == 2 and tree[0] == name:
            yield tree[1]
        else:
            for part in tree:
                yield from plugins(part, name)


def write_grok_job(conf, out):
    from logstash_pipeline_parser import Pipeline

    tree = dict(Pipeline(read(conf)).parse())
    for section in ("input", "filter", "output"):
        if not tree.get(section):
            yield f"no {section}"

    groks = [dict(body) for body in plugins(tree["filter"], "grok")]
    job = {"definitions": {}, "patterns": []}
    for grok in groks:
        for pairs in grok.get("pattern_definitions", []):
            job["definitions"].update((str(name), str(value[0])) for name, value in pairs)
        for pairs in grok["match"]:
            for field, patterns in pairs:
                if str(field) == "message":
                    job["patterns"] += [str(pattern) for pattern in patterns]
    if not job["patterns"]:
        yield "no grok pattern for message"
    with open(out, "w", encoding="utf-8") as file:
        json.dump(job, file)


# --- the dashboard -------------------------------------------------------------------------------------


def write_dashboard(dashboard, out):
    tree = json.loads(read(dashboard))
    ids = [panel["id"] for panel in tree["panels"]]
    if len(set(ids)) != len(ids):
        yield "two panels have one id"
    used = set()
    for panel in tree["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']} is wider than the page"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in used:
                    yield f"{panel['title']} lies on another panel"
                    return
                used.add((x, y))
    with open(out, "w", encoding="utf-8") as file:
        file.write('import { Dashboard, ThresholdsMode } from "@grafana/schema";\n')
        # The one place where the type wants an enumerator and not its text.
        literal = json.dumps(tree).replace('{"mode": "absolute"', '{"mode": ThresholdsMode.Absolute')
        file.write(f"export const dashboard: Dashboard = {literal};\n")


CHECKS = {
    "names": check_names,
    "ecs": write_ecs,
    "dashboard": write_dashboard,
    "logstash": write_grok_job,
    "grok": check_grok,
    "filebeat": check_filebeat,
}

if __name__ == "__main__":
    complaints = list(CHECKS[sys.argv[1]](*sys.argv[2:]))
    print("\n".join(complaints[:20]))
    sys.exit(1 if complaints else 0)
