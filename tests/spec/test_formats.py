"""The same workflow in all five formats, written by hand as people write them."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from specs import write

from slurmtorc import spec

EXAMPLES = Path(__file__).parents[2] / "examples"

TEXTS = {
    "w.yaml": """\
name: sweep  # the name
env: {MODE: "on"}
parameters:
  lr: [0.1, 0.01]
  seed: 1:2
slurm_defaults: {mail-type: END}
resource_requirements:
  - {name: small, num_cpus: 2, memory: 1g, runtime: PT10M}
slurm_schedulers:
  - {name: cpu, account: acc, walltime: 10:00:00}
files:
  - {name: "out_{seed}_{lr}", path: "out/{seed:02d}_{lr:.2f}", use_parameters: [lr, seed]}
user_data:
  - name: cfg
    data: {a: [1, null]}
failure_handlers:
  - name: h
    rules: [{exit_codes: [1, 2], max_retries: 2}]
jobs:
  - name: train_{seed}_{lr}
    command: |
      train --seed {seed} \\
        > ${files.output.out_{seed}_{lr}}
    use_parameters: [lr, seed]
    resource_requirements: small
    failure_handler: h
    env: {SEED: "{seed}"}
  - name: report
    command: report '${user_data.input.cfg}'
    depends_on_regexes: ["^train_"]
    input_file_regexes: ["^out_"]
    cancel_on_blocking_job_failure: false
    priority: 3
actions:
  - trigger_type: on_jobs_ready
    action_type: schedule_nodes
    jobs: [report]
    scheduler: cpu
""",
    "w.json5": """\
{
  name: 'sweep', // the name
  env: {MODE: 'on'},
  parameters: {lr: [0.1, 0.01], seed: '1:2'},
  slurm_defaults: {'mail-type': 'END'},
  resource_requirements: [{name: 'small', num_cpus: 2, memory: '1g', runtime: 'PT10M'}],
  slurm_schedulers: [{name: 'cpu', account: 'acc', walltime: '10:00:00'}],
  files: [
    {name: 'out_{seed}_{lr}', path: 'out/{seed:02d}_{lr:.2f}', use_parameters: ['lr', 'seed']},
  ],
  user_data: [{name: 'cfg', data: {a: [1, null]}}],
  failure_handlers: [{name: 'h', rules: [{exit_codes: [1, 2], max_retries: 2}]}],
  jobs: [
    {
      name: 'train_{seed}_{lr}',
      command: 'train --seed {seed} \\\\\\n  > ${files.output.out_{seed}_{lr}}\\n',
      use_parameters: ['lr', 'seed'],
      resource_requirements: 'small',
      failure_handler: 'h',
      env: {SEED: '{seed}'},
    },
    {
      name: 'report',
      command: "report '${user_data.input.cfg}'",
      depends_on_regexes: ['^train_'],
      input_file_regexes: ['^out_'],
      cancel_on_blocking_job_failure: false,
      priority: 3,
    },
  ],
  actions: [
    {trigger_type: 'on_jobs_ready', action_type: 'schedule_nodes', jobs: ['report'],
     scheduler: 'cpu'},
  ],
}
""",
    "w.toml": """\
name = "sweep" # the name
env.MODE = "on"
slurm_defaults.mail-type = "END"
resource_requirements = [{name = "small", num_cpus = 2, memory = "1g", runtime = "PT10M"}]

[parameters]
lr = [0.1, 0.01]
seed = "1:2"

[[slurm_schedulers]]
name = "cpu"
account = "acc"
walltime = "10:00:00"

[[files]]
name = "out_{seed}_{lr}"
path = "out/{seed:02d}_{lr:.2f}"
use_parameters = ["lr", "seed"]

[[user_data]]
name = "cfg"
data = {a = [1, "NULL"]}

[[failure_handlers]]
name = "h"
rules = [{exit_codes = [1, 2], max_retries = 2}]

[[jobs]]
name = "train_{seed}_{lr}"
command = '''
train --seed {seed} \\
  > ${files.output.out_{seed}_{lr}}
'''
use_parameters = ["lr", "seed"]
resource_requirements = "small"
failure_handler = "h"
env = {SEED = "{seed}"}

[[jobs]]
name = "report"
command = "report '${user_data.input.cfg}'"
depends_on_regexes = ["^train_"]
input_file_regexes = ["^out_"]
cancel_on_blocking_job_failure = false
priority = 3

[[actions]]
trigger_type = "on_jobs_ready"
action_type = "schedule_nodes"
jobs = ["report"]
scheduler = "cpu"
""",
    "w.kdl": """\
name "sweep" // the name
env { MODE "on" }
parameters {
    lr 0.1 0.01
    seed "1:2"
}
slurm_defaults { mail-type "END" }
resource_requirements "small" { num_cpus 2; memory "1g"; runtime "PT10M"; }
slurm_scheduler "cpu" { account "acc"; walltime "10:00:00"; }
file "out_{seed}_{lr}" path="out/{seed:02d}_{lr:.2f}" {
    use_parameters "lr" "seed"
}
user_data "cfg" {
    data #"{"a": [1, null]}"#
}
failure_handler "h" {
    rule { exit_codes 1 2; max_retries 2; }
}
job "train_{seed}_{lr}" {
    command "train --seed {seed} \\\\\\n  > ${files.output.out_{seed}_{lr}}\\n"
    use_parameters "lr" "seed"
    resource_requirements "small"
    failure_handler "h"
    env { SEED "{seed}"; }
}
job "report" {
    command "report '${user_data.input.cfg}'"
    depends_on_regexes "^train_"
    input_file_regexes "^out_"
    cancel_on_blocking_job_failure #false
    priority 3
}
action {
    trigger_type "on_jobs_ready"
    action_type "schedule_nodes"
    job "report"
    scheduler "cpu"
}
""",
}


@pytest.fixture
def reference(tmp_path: Path) -> spec.Source:
    return spec.read(write(tmp_path / "w.yaml", TEXTS["w.yaml"]))


@pytest.mark.parametrize("name", TEXTS)
def test_every_format_gives_the_same_tree_and_the_same_draft(
    tmp_path: Path, reference: spec.Source, name: str
) -> None:
    text = TEXTS[name].replace('"NULL"', "0")  # TOML has no null
    found = spec.read(write(tmp_path / name, text))
    expected = reference.tree
    if name == "w.toml":
        expected["user_data"][0]["data"]["a"][1] = 0
    assert found.tree == expected
    drafts = [spec.check(file).draft for file in (found, reference)]
    assert drafts[0] is not None
    assert drafts[1] is not None
    drafts[0].spec = drafts[1].spec = None  # keeps the order of keys, in which TOML differs
    assert drafts[0] == drafts[1]


def test_json_gives_the_same_too(tmp_path: Path, reference: spec.Source) -> None:
    found = spec.read(write(tmp_path / "w.json", spec.write(reference.tree, "json")))
    assert found.tree == reference.tree
    assert spec.check(found).draft == spec.check(reference).draft


def test_what_checks_is_valid_by_the_schema_too(reference: spec.Source) -> None:
    examples = [spec.read(str(file)) for file in sorted(EXAMPLES.glob("*.yaml"))]
    sound = [source for source in (reference, *examples) if spec.check(source).draft is not None]
    assert len(sound) >= 3
    validator = jsonschema.Draft202012Validator(spec.schema())
    for source in sound:
        assert [error.message for error in validator.iter_errors(source.tree)] == [], source.name


def test_the_schema_describes_every_key(reference: spec.Source) -> None:
    schema = spec.schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert reference.tree.keys() <= schema["properties"].keys()
    job = schema["$defs"]["JobShape"]
    assert job["additionalProperties"] is False
    assert set(job["required"]) == {"name", "command"}
    undescribed = [
        f"{section['title']}.{key}"
        for section in (schema, *schema["$defs"].values())
        for key, value in section["properties"].items()
        if "description" not in value
    ]
    assert undescribed == []
