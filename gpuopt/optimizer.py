"""The optimizer: parameters, groups, state, `step` and `state_dict`."""

import warnings
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from gpuopt import backends, checkpoint, files
from gpuopt.averaging import averaged_params, averages
from gpuopt.checks import decay_rate
from gpuopt.given import rebound
from gpuopt.groups import (
    Group,
    Schedule,
    collect,
    common_rate,
    learning_rate,
    rates,
    set_common_rate,
    unknown_setting,
)
from gpuopt.interrupts import finish
from gpuopt.options import PLAIN, Parts
from gpuopt.parameters import check_rebound, make_params, own_views
from gpuopt.rules.base import Rule, check_rule
from gpuopt.stepping import Stepper
from gpuopt.structure import Structure


class Optimizer:
    """Updates arrays in place by one rule, in one fused pass over memory.

    params: one array, a sequence, a mapping of names, or a list of groups
    (`{"params": ..., "lr": ..., <the rule's fields>}`; a dict is a group where it has the key
    "params"). Dicts, lists and tuples may nest; an array's name is its path, "layers.0.W", and what
    several groups call alike has the group's number in front, "0.W". NumPy or CuPy arrays, torch
    tensors, or anything with DLPack or `__cuda_array_interface__`; float16, bfloat16 (both with
    arithmetic and state in float32), float32, float64 or complex, of any shape and strides. Nothing
    is copied.

    rule: a `gpuopt.Rule`. lr: a number, or a schedule: a function of the step count, from 1.
    backend: None picks by the arrays; or "numpy", "numba", "cupy", "numba-cuda".
    average: None, or the decay in [0, 1) of an exponentially weighted average of the parameters
    that every step keeps in the same pass: a <- decay a + (1 - decay) p, bias-corrected, over the
    steps in which a parameter had a gradient. It costs one more buffer.

    Raises TypeError or ValueError, naming the parameter, for arrays that cannot be updated in place
    (read-only, integer, overlapping, given twice), and BackendError with the reason when a backend
    that was asked for cannot run.
    """

    def __init__(
        self,
        params: Any,
        rule: Rule,
        *,
        lr: float | Schedule,
        average: float | None = None,
        backend: str | None = None,
    ) -> None:
        check_rule(rule)
        self._average = None if average is None else decay_rate("average", average)
        self._common = Group(rule, learning_rate(lr), None)
        self._structure, self.param_groups, members = collect(params, self._common)
        self._backend = backends.pick([array for array, _ in members], backend)
        parts = Parts(average=self._average)
        self._params = make_params(self._backend, self._structure.keys, members, parts)
        self._stepper = Stepper(self._backend, self._params, self._average)
        self._watch = self._backend.watch([(p.label, p.given) for p in self._params])
        for group in {id(g): g for g in [self._common, *self.param_groups]}.values():
            group.before_change = self._stepper.rule_changes
            group.after_change = self._stepper.push
        self._own_values: list[tuple[Any, Any]] | None = None  # while averages are in their place

    def step(
        self,
        grads: Any,
        *,
        max_norm: float | None = None,
        max_value: float | None = None,
        loss_scale: Any = None,
        skip_nonfinite: bool = False,
        zero_grads: bool = False,
    ) -> None:
        """Update every parameter that has a gradient, in place.

        grads: the structure of `params`, holding arrays of each parameter's shape and dtype on its
        device, or None.

        Before the rule, in this order, in the same pass over memory:
        loss_scale: gradients are divided by it: a number, an array of one element on the GPU, or a
        `LossScaler`, which implies skip_nonfinite and is updated.
        max_norm: gradients are multiplied by max_norm / (norm + 1e-6) where that is below 1, for
        the L2 norm of all gradients together; infinity only measures it. It costs one more read of
        the gradients; `grad_norm` tells it.
        max_value: each element is then clipped to [-max_value, max_value].

        skip_nonfinite: a step with a NaN or an infinity in any gradient changes no parameter, state
        or step count. zero_grads: gradients are zero after the step, a skipped one as well;
        otherwise they are read, never written.

        On a GPU nothing waits for the device, unless steps may have been skipped and a new plan is
        needed: other options, other gradients that are None, or with zero_grads moved ones. A step
        can be captured in a CUDA graph (CuPy's relaxed mode) after one like it that was not; keep
        the optimizer for as long as the graph, and launch that on the stream on which it was
        captured. Whatever raises, raises before anything has changed; but for a rule that only the
        numpy backend can run, when its own code raises in the middle of a step. What a signal
        handler raises (Ctrl-C) is raised before anything has changed, or when the step is whole and
        counted.

        ValueError, naming the parameter, where an array was put in the place of one in `params`,
        or one was made read-only or came to lie otherwise. RuntimeError while another thread
        steps this optimizer.
        """
        plain = max_norm is None and max_value is None and loss_scale is None
        plain = plain and skip_nonfinite is False and zero_grads is False
        stepper = self._stepper
        with stepper.exclusive():
            options = PLAIN
            if not plain:
                asked = (max_norm, max_value, loss_scale, skip_nonfinite, zero_grads)
                options = stepper.options_for(asked)
            if self._own_values is not None:
                raise RuntimeError("a step inside `with opt.averages()` would change the averages")
            structure = self._structure
            self._watch.check(structure.arrays_now() if structure.given is not None else None)
            stepper.take(structure.flatten(grads), options)

    @property
    def grad_norm(self) -> float:
        """The L2 norm of the last step's gradients together, without loss scale and before
        clipping. Reading it waits for a GPU. RuntimeError if that step had no need of it."""
        return self._stepper.grad_norm()

    @property
    def average(self) -> float | None:
        """The decay of the average of the parameters, or None."""
        return self._average

    def averaged_params(self) -> Any:
        """Copies of the averages, in the structure of `params`; RuntimeError without `average`."""
        return averaged_params(self)

    def averages(self) -> AbstractContextManager[None]:
        """`with opt.averages():` the parameters hold their averages, and after it their own values
        again, bit for bit. It takes memory for a copy of the parameters."""
        return averages(self)

    @property
    def lr(self) -> float | Schedule:
        """The learning rate of all groups, a number or a schedule. ValueError where they differ.
        Assigning it sets all groups, also those that named their own."""
        return common_rate(self.param_groups)

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        set_common_rate(self._common, self.param_groups, value)

    @property
    def params(self) -> Any:
        """The arrays that it steps, as they were given, in the structure of `params`."""
        return self._structure.unflatten([p.given for p in self._params])

    def rebind(self, params: Any) -> None:
        """Go on with other arrays: those that have replaced the ones in `params`, or that were
        loaded from a file beside the optimizer. State and step counts stay.

        params: the same names, shapes and dtypes, on the same device. ValueError, naming the
        parameter, for others; nothing has changed then.
        """
        with self._stepper.exclusive():
            if self._swapped:
                raise RuntimeError(
                    "inside `with opt.averages()` nothing can be bound; do it outside"
                )
            structure, arrays = rebound(self._structure, params)
            for param, array in zip(self._params, arrays, strict=True):
                check_rebound(self._backend, param, array)
            self._stepper.drop_plan()
            self._lie_at(structure, arrays)

    @property
    def rule(self) -> Rule:
        """The rule as given; `param_groups` holds what each group uses."""
        return self._common.rule

    @property
    def backend(self) -> str:
        """The name of the backend that runs the step."""
        return self._backend.name

    @property
    def step_count(self) -> int:
        """How many steps this optimizer has taken, those that were skipped not counted. Reading it
        waits for a GPU after a step that may have been skipped, or was captured in a graph."""
        return self._stepper.settled_counts().taken

    @property
    def param_steps(self) -> dict[str, int]:
        """How many steps each parameter has taken: those in which it had a gradient."""
        steps = self._stepper.settled_counts().steps
        return {p.key: int(t) for p, t in zip(self._params, steps, strict=True)}

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """Each parameter's state buffers by name, empty at first: views of them, which may be
        written to between steps."""
        own = self._backend.own
        return {p.key: {name: own(a) for name, a in p.state.items()} for p in self._params}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later run needs to go on bit for bit, as copies on the same device.

        Keys: "version", "rule", "step_count", "lr", "average", "groups" (its numbers), "state":
        for each parameter its "step" and buffers. An lr that is a schedule is saved as "schedule"
        and must be set again before loading; a group that follows the optimizer's has "common".
        """
        return checkpoint.state_dict(self)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave. Rule, parameters, shapes and dtypes are checked first;
        a load that raises changes nothing."""
        with self._stepper.exclusive():
            self._check_arrays()
            checkpoint.load_state_dict(self, saved)

    def save(self, path: Any, *, params: bool = False, rngs: Any = None, extra: Any = None) -> None:
        """Write `state_dict()` to a safetensors file (needs `gpuopt[checkpoint]`). Whatever stops
        it, even a kill, the old file is there or the new one, whole.
        params: write the parameters, too. rngs: NumPy Generators to go on with, by names of yours;
        what they `spawn` is not resumed. extra: what else JSON can hold, such as
        `batches.state_dict()`, and small: it goes into the header, 100 MB at most (OSError)."""
        self._check_arrays()
        files.save(self, path, params, rngs, extra)

    def load(self, path: Any, *, rngs: Any = None) -> Any:
        """Go on from a file that `save` wrote; returns its `extra`, where tuples are lists.

        Restores parameters in place, if the file has them, and the generators named in `rngs`,
        which must be given if it has any ({}: restore none). Everything is checked first: a load
        that raises (ValueError, naming a file that is damaged or does not fit) changes nothing."""
        with self._stepper.exclusive():
            self._check_arrays()
            return files.load(self, path, rngs)

    def __getstate__(self) -> dict[str, Any]:
        if self._swapped:
            raise RuntimeError(
                "inside `with opt.averages()` the parameters are not the optimizer's own; copy or "
                "pickle it outside"
            )
        self._backend.check_copies()
        one = np.empty(0)
        return {**self.__dict__, "_watch": None, "_same": (one, one)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        first, second = state["_same"]
        self.__dict__.update({name: value for name, value in state.items() if name != "_same"})
        if first is not second:
            self._structure.given = None
            warnings.warn(
                "this optimizer was loaded by a library that makes a copy of an array for each "
                "place that holds it, as joblib does: it steps arrays of its own, which opt.params "
                "shows, and not your model's; call opt.rebind(params) with those",
                stacklevel=2,
            )
        self._lie_at(self._structure, [p.given for p in self._params])

    def _check_arrays(self) -> None:
        """Raise ValueError for a parameter that was replaced in its container, or lies elsewhere
        or otherwise than it did."""
        structure = self._structure
        self._watch.check(structure.arrays_now() if structure.given is not None else None)

    def _lie_at(self, structure: Structure, arrays: list[Any]) -> None:
        """Step these arrays, one per parameter, from now on; raises if that cannot be."""
        views = own_views(self._backend, structure.keys, arrays)
        labels = [param.label for param in self._params]
        watch = self._backend.watch(list(zip(labels, arrays, strict=True)))
        changes = list(zip(self._params, arrays, views, strict=True))

        def change() -> None:
            for param, array, (view, memory) in changes:
                param.given, param.view, param.memory, param.grad = array, view, memory, None
            self._structure, self._watch = structure, watch

        finish(change)

    @property
    def _swapped(self) -> bool:
        """Whether the averages are in the place of the parameters."""
        return self._own_values is not None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse attributes that nothing would read. A subclass may have any of its own."""
        again = name == "param_groups" and name in vars(self)
        own = name.startswith("_") or hasattr(Optimizer, name) or name == "param_groups"
        if again or (type(self) is Optimizer and not own):
            raise AttributeError(unknown_setting(name, vars(self).get("param_groups", ())))
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        what = [
            repr(self.rule),
            f"lr={rates(self.param_groups)}",
            f"{len(self._params)} parameters",
            self.backend,
        ]
        if self._average is not None:
            what.insert(2, f"average={self._average!r}")
        return f"Optimizer({', '.join(what)})"
