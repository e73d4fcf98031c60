"""A module with the face of pyslurm 25.11.2, in front of a simulated cluster.

The names are those of its source distribution, and no others can be used: a name that does not
exist there fails here too. What an allocation gets is what its description says, not what the
script's #SBATCH lines say: the library does not read them.
"""

from __future__ import annotations

import json
import os
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from simulated import SimulatedCluster

from slurmtorc.clock import SystemClock
from slurmtorc.errors import SlurmError, SubmissionInDoubt, SubmissionRefused
from slurmtorc.ports import Script
from slurmtorc.settings import Settings
from slurmtorc.slurm import library
from slurmtorc.slurm.helper import Unfit
from slurmtorc.slurm.lib import SlurmLib

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.ports import Slurm

UNREACHABLE, TIMED_OUT, REFUSED, UNKNOWN_ID = 1800, 5004, 2050, 2017

NAMES = {
    "Job": """account accrue_time allocated_nodes array_id array_task_id batch_host cluster command
        comment constraints cpus cpus_per_task dependencies derived_exit_code eligible_time end_time
        exit_code exit_code_signal gpus group_id id is_requeueable memory memory_per_node name
        nice ntasks num_nodes partition priority qos requeue_count reservation run_time start_time
        state state_reason submit_host submit_line submit_time suspend_time time_limit tres user_id
        user_name working_directory""",
    "db.Job": """account array_id array_task_id cluster comment cpus derived_exit_code elapsed_time
        eligible_time end_time exit_code exit_code_signal id memory name nodelist num_nodes
        partition qos requeue_count reservation start_time state state_reason steps submit_command
        submit_time suspended_time system_comment time_limit user_id user_name working_directory""",
    "db.JobFilter": """ids start_time end_time accounts association_ids clusters constraints cpus
        max_cpus nodes max_nodes qos names partitions groups timelimit max_timelimit users wckeys
        nodelist with_script with_env truncate_time""",
    "JobSubmitDescription": """name account user_id group_id priority site_factor wckey array
        batch_constraints begin_time clusters cluster_constraints comment admin_comment
        requires_contiguous_nodes cores_reserved_for_system threads_reserved_for_system
        working_directory cpu_frequency nodes deadline delay_boot_time dependencies excluded_nodes
        required_nodes constraints kill_on_node_fail licenses mail_user mail_types mcs_label
        memory_per_cpu memory_per_node memory_per_gpu network nice log_files_open_mode overcommit
        partitions profile_types accounting_gather_frequency qos requires_node_reboot
        is_requeueable reservations script script_args environment resource_sharing distribution
        time_limit time_limit_min container container_id cpus_per_task cpus_per_gpu
        sockets_per_node cores_per_socket threads_per_core gpus gpus_per_socket gpus_per_task
        gres_per_node gpu_binding ntasks ntasks_per_node ntasks_per_socket ntasks_per_core
        ntasks_per_gpu switches signal standard_in standard_output standard_error
        kill_on_invalid_dependency spreads_over_nodes use_min_nodes gres_binding
        gres_tasks_per_sharing temporary_disk_per_node get_user_environment min_cpus_per_node
        wait_all_nodes selinux_context segment_size reserved_ports extra""",
    "Partition": """allowed_accounts allowed_groups allowed_qos allowed_submit_nodes
        default_memory_per_cpu default_memory_per_node default_time is_default is_hidden
        is_root_only max_cpus_per_node max_nodes max_time min_nodes name nodes nodesets qos state
        total_cpus total_nodes""",
    "Node": """active_features allocated_cpus available_features configured_gres effective_cpus
        free_memory name partitions real_memory state temporary_disk total_cpus weight""",
    "slurmctld.Config": """accounting_storage_type cli_filter_plugins cluster_name min_job_age
        plugin_stack_config propagate_prio_process propagate_resource_limits
        propagate_resource_limits_except version""",
}
"""What the classes have; of the longest ones what could be of use here."""


def one(kind: str, **values: Any) -> SimpleNamespace:
    """An object of that class: other attributes are an AttributeError."""
    assert set(values) <= set(NAMES[kind].split()), (kind, set(values) - set(NAMES[kind].split()))
    return SimpleNamespace(**values)


class RPCError(Exception):
    def __init__(self, errno: int = -1, msg: str | None = None) -> None:
        self.errno, self.msg = errno, msg
        super().__init__(msg)


class Fake(ModuleType):
    """The module. Tests set `breaks` to have calls fail, and read what was submitted."""

    def __init__(self, cluster: SimulatedCluster, release: str = "25.11.2") -> None:
        super().__init__("pyslurm")
        self.__version__ = release
        self.RPCError = RPCError
        self.sim = cluster.slurm
        self.breaks: dict[str, Exception] = {}
        self.config: dict[str, Any] = {
            "accounting_storage_type": "accounting_storage/slurmdbd",
            "cli_filter_plugins": [],
            "cluster_name": "sandbox",
            "plugin_stack_config": None,
            "propagate_resource_limits": ["ALL"],
            "propagate_resource_limits_except": None,
            "version": "25.11.4",
        }
        self.user = os.getuid()
        self.calls: list[str] = []
        self.submitted: list[dict[str, Any]] = []
        self.slurmctld = SimpleNamespace(ping=self._ping, Config=_loading(self._config))
        self.Jobs = _loading(self._jobs)
        self.Nodes = _loading(self._nodes)
        self.Partitions = _loading(self._partitions)
        self.Job = self._job
        self.JobSubmitDescription = self._description
        self.db = SimpleNamespace(
            JobFilter=lambda **given: one("db.JobFilter", **given), Jobs=_loading(self._db_jobs)
        )

    def _rpc(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        if name in self.breaks:
            raise self.breaks[name]
        try:
            return call()
        except SubmissionRefused as error:
            raise RPCError(REFUSED, str(error)) from None
        except SubmissionInDoubt as error:
            raise RPCError(TIMED_OUT, str(error)) from None
        except SlurmError as error:
            raise RPCError(UNREACHABLE, str(error)) from None

    def _ping(self, index: int) -> None:
        self.calls.pop() if self.calls[-1:] == ["ping"] else None
        if index:
            raise RPCError(msg="Invalid Index specified.")
        self._rpc("ping", lambda: self.sim.look([]))

    def _config(self) -> Any:
        self._rpc("config", lambda: self.sim.look([]))
        return one("slurmctld.Config", **self.config)

    def _jobs(self) -> dict[int, Any]:
        found = self._rpc("jobs", lambda: self.sim.look(list(self.sim.bookings)))
        return {
            number: one(
                "Job",
                id=number,
                name=seen.name,
                comment=self.sim.bookings[number].request.comment,
                state=seen.state.name,
                state_reason=seen.reason,
                allocated_nodes=seen.nodes or None,
                submit_time=seen.submit_time and int(seen.submit_time),
                start_time=seen.start_time and int(seen.start_time),
                end_time=seen.end_time and int(seen.end_time),
                user_id=self.user,
            )
            for number, seen in found.items()
        }

    def _db_jobs(self, wanted: Any) -> dict[int, Any]:
        ids = getattr(wanted, "ids", None) or list(self.sim.bookings)
        if self.user not in getattr(wanted, "users", [self.user]):
            ids = []
        try:
            found = self._rpc("db.jobs", lambda: self.sim.account(ids, wanted.start_time))
        except RPCError:
            raise RPCError(-1, "Failed to get Jobs from slurmdbd") from None
        return {
            number: one(
                "db.Job",
                id=number,
                name=told.name,
                state=told.state.name,
                nodelist=told.nodes or None,
                submit_time=told.submit_time and int(told.submit_time),
                start_time=told.start_time and int(told.start_time),
                end_time=told.end_time and int(told.end_time),
                elapsed_time=told.elapsed_s or None,
                time_limit=told.timelimit_s // 60 if told.timelimit_s else "PartitionLimit",
            )
            for number, told in found.items()
        }

    def _job(self, number: int) -> Any:
        def cancel() -> None:
            self._rpc("cancel", lambda: self.sim.cancel([number]))

        return SimpleNamespace(cancel=cancel)

    def _partitions(self) -> dict[str, Any]:
        return {
            part.name: one(
                "Partition",
                name=part.name,
                is_default=part.is_default,
                is_hidden=False,
                allowed_groups=["ALL"],
                state="UP" if part.is_up else "DOWN",
                max_time="UNLIMITED" if part.max_walltime_s is None else part.max_walltime_s // 60,
            )
            for part in self._rpc("partitions", self.sim.site).partitions
        }

    def _nodes(self) -> dict[str, Any]:
        return {
            f"{part.name}{number}": one(
                "Node",
                name=f"{part.name}{number}",
                partitions=[part.name],
                total_cpus=part.cpus,
                real_memory=part.memory_bytes // 1024**2,
                configured_gres={"gpu": part.gpus} if part.gpus else {},
            )
            for part in self._rpc("nodes", self.sim.site).partitions
            for number in range(part.nodes)
        }

    def _description(self, **given: Any) -> Any:
        one("JobSubmitDescription", **given)

        def submit() -> int:
            self.submitted.append(given)
            number: int = self._rpc("submit", lambda: self.sim.submit(_as_asked(given)))
            return number

        return SimpleNamespace(submit=submit)


def _loading(load: Callable[..., Any]) -> SimpleNamespace:
    return SimpleNamespace(load=load)


_OPTIONS = (
    ("name", "job-name={}"), ("comment", "comment={}"), ("account", "account={}"),
    ("partitions", "partition={}"), ("qos", "qos={}"), ("time_limit", "time={}"),
    ("nodes", "nodes={}"), ("ntasks_per_node", "ntasks-per-node={}"),
    ("cpus_per_task", "cpus-per-task={}"), ("memory_per_node", "mem={}M"),
    ("working_directory", 'chdir="{}"'), ("standard_output", 'output="{}"'),
    ("standard_error", 'error="{}"'),
)  # fmt: skip


def _as_asked(given: dict[str, Any]) -> Script:
    body = [line for line in given["script"].splitlines() if not line.startswith("#SBATCH")]
    head = [f"#SBATCH --{form.format(given[name])}" for name, form in _OPTIONS if name in given]
    if given.get("priority") == 0:
        head.append("#SBATCH --hold")
    assert given["ntasks"] == given["nodes"] * given["ntasks_per_node"]
    text = "\n".join([body[0], *head, *body[1:]])
    return Script(text, given["name"], given["comment"], given["working_directory"])


class Here:
    """What the child process does, in this one: every word goes through JSON all the same."""

    def start(self) -> str:
        said = self.ask("hello")
        if "raised" in said:
            raise Unfit(said["raised"])
        return str(said["answer"])

    def ask(self, question: str, **given: Any) -> dict[str, Any]:
        asked = json.loads(json.dumps({"ask": question, "with": given}))
        said: dict[str, Any] = json.loads(json.dumps(library.answer(asked)))
        return said


class LibraryCluster(SimulatedCluster):
    """A simulated cluster that is reached through the library."""

    def __init__(self, mocker: Any, **options: Any) -> None:
        super().__init__(**options)
        self.fake = Fake(self)
        mocker.patch.dict("sys.modules", pyslurm=self.fake)
        self.port = self.through_library(self.slurm)

    def through_library(self, programs: Slurm, helper: Any = None) -> SlurmLib:
        return SlurmLib(
            helper or Here(), programs, settings=Settings(slurm_rate=0), clock=SystemClock()
        )
