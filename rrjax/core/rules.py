"""Gradients with another rule where a network chooses: those of DeepLIFT and LRP.

The networks of this package are affine in their image but for choices between two values: ReLU,
ReLU6 and max-pool. So an objective is read as the program that jax traces, and run again one
operation after the other, at the image and at a reference image beside it. A choice has the
derivatives that a rule gives it; everything else, such as a convolution, a BN in eval mode, a
residual sum or an average pool, has its own. The layers know nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from rrjax import BadInput
from rrjax.core.objectives import Apply, Objective


class Both(NamedTuple):
    """What depends on the image: its value there, and at the reference."""

    image: Any
    reference: Any


class Choice(NamedTuple):
    """A choice between two arrays, element by element: the larger, or the smaller than a constant.

    cases: the two; None for one that does not depend on the image. output: what is chosen. second:
    where it is the second case, bool.
    """

    cases: list[Both | None]
    output: Both
    second: Both


# A choice -> the derivative of its output by each case that depends on the image.
Rule = Callable[[Choice], list[jax.Array]]

# Operations that are affine: in all operands together, in any one of them, in the first one.
_LINEAR = {
    *("add", "add_any", "sub", "neg", "reduce_sum", "pad", "concatenate", "convert_element_type"),
    *("reshape", "squeeze", "broadcast_in_dim", "transpose", "slice", "split", "stack", "rev"),
    *("copy", "optimization_barrier", "reduce_precision"),
}
_PRODUCTS = {"mul", "dot_general", "conv_general_dilated"}
_LINEAR_IN_FIRST = {"div", "dynamic_slice", "gather"}
_LOGIC = {"eq", "ne", "ge", "gt", "le", "lt", "or", "and", "not"}
# Calls of an inner program, and the parameter that holds it.
_CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
# Operations by which a stage leaves a network as an output of its own.
_RESHAPES = {"reshape", "squeeze", "slice", "dynamic_slice", "convert_element_type"}


def gradient(objective: Objective, image: jax.Array, reference: jax.Array, rule: Rule) -> jax.Array:
    """Return the objective's gradient at the image, with the derivatives of `rule` at choices.

    Raises:
      BadInput: for an objective that is not affine but for choices, naming the operation.
    """
    program = _flat(objective, image)
    return jax.grad(lambda x: _run(program, x, reference, rule))(image)


def rescale(choice: Choice) -> list[jax.Array]:
    """Divide the difference from the reference's output by that of the input (DeepLIFT).

    Shrikumar et al. (2017). Of the two cases of a max-pool one has all of the difference: that
    which is chosen in the image if its output is larger than the reference's, otherwise that which
    is chosen in the reference, as in Captum.
    """
    difference = choice.output.image - choice.output.reference
    second = jnp.where(difference >= 0, *choice.second)
    only = None in choice.cases
    slopes = []
    for i, case in enumerate(choice.cases):
        if case is not None:
            own = case.image - case.reference
            has_all = only | (second == bool(i))
            share = jnp.where(has_all, difference / jnp.where(has_all & (own != 0), own, 1), 0)
            chosen = (choice.second.image == bool(i)).astype(own.dtype)
            slopes.append(jnp.where(own == 0, chosen, share))
    return slopes


def epsilon(eps: float) -> Rule:
    """Make LRP's rule: an activation's output over its input z + eps sign(z); 1 where z is chosen.

    Bach et al. (2015), in the form of Ancona et al. (2018), Proposition 1, in which the epsilon of
    a layer is that of the activation after it.
    """

    def rule(choice: Choice) -> list[jax.Array]:
        if None in choice.cases:
            (z,) = (case.image for case in choice.cases if case is not None)
            return [choice.output.image / (z + jnp.where(z >= 0, eps, -eps))]
        second = choice.second.image
        return [chosen.astype(choice.output.image.dtype) for chosen in (~second, second)]

    return rule


def at_stage(
    apply: Apply, label: jax.Array, image: jax.Array, stage: str
) -> tuple[jax.Array, jax.Array]:
    """Return the activations of a stage, one of `reps`, and the gradient of a logit by them.

    Raises:
      BadInput: for a stage that the logits do not come from.
    """

    def outputs(image: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, reps = apply(image)
        return logits[label], reps[stage]

    program = _flat(outputs, image)
    source = _source(program.jaxpr, stage)
    evaluate = partial(_evaluate, program.jaxpr, program.consts, [image])
    _, activations = evaluate()

    def score(values: jax.Array) -> jax.Array:
        return evaluate({source: values})[0]

    values = activations.reshape(source.aval.shape).astype(source.aval.dtype)
    slopes = jax.grad(score)(values).reshape(activations.shape)
    return activations, slopes.astype(activations.dtype)


def last_stage(apply: Apply, image: jax.Array, stages: Sequence[str]) -> str:
    """Return which of some stages, names of `reps`, is computed last."""
    jaxpr = _flat(lambda x: [apply(x)[1][stage] for stage in stages], image).jaxpr
    definitions = _definitions(jaxpr)
    places = {var: i for i, var in enumerate(definitions)}  # in the program's order

    def place(var: Any) -> int:
        while (equation := definitions.get(var)) and equation.primitive.name in _RESHAPES:
            var = equation.invars[0]
        return places.get(var, -1)

    pairs = zip(jaxpr.outvars, stages, strict=True)
    return max(pairs, key=lambda pair: place(pair[0]))[1]


def _flat(function: Callable, image: jax.Array) -> ClosedJaxpr:
    """Trace a function of one image to a program without calls of others."""
    program = jax.make_jaxpr(function)(image)
    return jax.make_jaxpr(lambda x: _evaluate(program.jaxpr, program.consts, [x]))(image)


def _evaluate(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    arguments: Sequence[Any],
    replaced: Mapping[Any, jax.Array] | None = None,
) -> list[Any]:
    """Return what a program returns, without calls; `replaced` variables have those values."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))
    for equation in jaxpr.eqns:
        inputs = [_read(values, atom) for atom in equation.invars]
        values |= zip(equation.outvars, _outputs(equation, inputs), strict=True)
        values |= {var: replaced[var] for var in equation.outvars if replaced and var in replaced}
    return [_read(values, atom) for atom in jaxpr.outvars]


def _read(values: Mapping[Any, Any], atom: Any) -> Any:
    return atom.val if isinstance(atom, Literal) else values[atom]


def _outputs(equation: Any, inputs: Sequence[Any]) -> Sequence[Any]:
    """Return the outputs of one operation; a call's by the operations of what it calls."""
    name, parameters = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = parameters[_CALLS[name]]
        return _evaluate(inner.jaxpr, inner.consts, inputs)
    if name == "cond" and parameters.get("branches_platforms"):
        # Of a convolution with a form for CPUs, lax's own, which every platform has.
        inner = parameters["branches"][parameters["branches_platforms"].index(None)]
        return _evaluate(inner.jaxpr, inner.consts, inputs[1:])
    outputs = equation.primitive.bind(*inputs, **parameters)
    return outputs if equation.primitive.multiple_results else [outputs]


def _run(program: ClosedJaxpr, image: jax.Array, reference: jax.Array, rule: Rule) -> jax.Array:
    """Return a flat program's scalar, such that its gradient is that of the rule."""
    jaxpr = program.jaxpr
    values = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values[jaxpr.invars[0]] = Both(image, reference)
    definitions = _definitions(jaxpr)
    for equation in jaxpr.eqns:
        inputs = [_read(values, atom) for atom in equation.invars]
        if _chooses(equation, inputs):
            _check_choice(equation, values, definitions)
            outputs = [_chosen(equation, inputs, rule)]
        elif any(isinstance(each, Both) for each in inputs):
            _check_affine(equation, inputs)
            outputs = [Both(*each) for each in zip(*_at_both(equation, inputs), strict=True)]
        else:
            outputs = _outputs(equation, inputs)
        values |= zip(equation.outvars, outputs, strict=True)
    scalar = _read(values, jaxpr.outvars[0])
    return scalar.image if isinstance(scalar, Both) else scalar


def _definitions(jaxpr: Jaxpr) -> dict[Any, Any]:
    return {var: equation for equation in jaxpr.eqns for var in equation.outvars}


def _at_both(equation: Any, inputs: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the outputs of one operation at the image, and at the reference."""
    return [
        _outputs(equation, [each[i] if isinstance(each, Both) else each for each in inputs])
        for i in range(2)
    ]


def _chooses(equation: Any, inputs: Sequence[Any]) -> bool:
    name, depends = equation.primitive.name, [isinstance(each, Both) for each in inputs]
    return (name == "max" and any(depends)) or (name == "select_n" and depends[0])


def _chosen(equation: Any, inputs: Sequence[Any], rule: Rule) -> Both:
    """Return what is chosen, with the rule's derivatives by the cases."""
    *predicate, first, second = inputs
    output = Both(*(outputs[0] for outputs in _at_both(equation, inputs)))
    if predicate:
        is_second = predicate[0]
    else:
        # The first of equals, but a ReLU's derivative at 0 is 0.
        after = jnp.greater if isinstance(second, Both) else jnp.greater_equal
        ends = [Both(x, x) if not isinstance(x, Both) else x for x in (first, second)]
        is_second = Both(*(after(b, a) for a, b in zip(*ends, strict=True)))
    cases = [each if isinstance(each, Both) else None for each in (first, second)]
    choice = jax.tree.map(lax.stop_gradient, Choice(cases, output, is_second))
    moving = [case.image for case in cases if case is not None]
    return Both(_with_slopes(choice.output.image, rule(choice), moving), output.reference)


@jax.custom_jvp
def _with_slopes(
    output: jax.Array,
    slopes: list,  # noqa: ARG001  the derivatives' alone, as the cases are
    cases: list,  # noqa: ARG001
) -> jax.Array:
    """Return the output, whose derivative by each case is its slope."""
    return output


@_with_slopes.defjvp
def _along_slopes(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (output, slopes, _), (_, _, directions) = primals, tangents
    terms = [slope * along for slope, along in zip(slopes, directions, strict=True)]
    return output, sum(terms[1:], terms[0])


def _check_affine(equation: Any, inputs: Sequence[Any]) -> None:
    """Refuse an operation of the image that is neither affine nor a comparison."""
    name, depends = equation.primitive.name, [isinstance(each, Both) for each in inputs]
    if name in _PRODUCTS:
        allowed = sum(depends) == 1
    elif name in _LINEAR_IN_FIRST:
        allowed = not any(depends[1:])
    else:  # a select_n of a known mask is linear
        allowed = name in _LINEAR | _LOGIC | {"select_n"}
    if not allowed:
        raise BadInput(_without_rule(name))


def _check_choice(equation: Any, values: Mapping[Any, Any], definitions: Mapping[Any, Any]) -> None:
    """Refuse a select_n that is neither the larger of its cases nor one of them and a constant."""
    if equation.primitive.name == "max":
        return
    predicate, first, second = equation.invars
    test = definitions[predicate]
    if test.primitive.name == "or":  # a >= b, or a is NaN
        test = definitions[test.invars[0]]
    tested, cases = (
        [atom for atom in atoms if isinstance(_read(values, atom), Both)]
        for atoms in (test.invars, (second, first))
    )
    orders = {"ge", "gt"} if len(cases) == 2 else {"ge", "gt", "le", "lt"}
    if test.primitive.name not in orders or tested != cases:
        raise BadInput(_without_rule("select_n"))


def _without_rule(name: str) -> str:
    return (
        f"the objective has the operation {name!r}, for which DeepLIFT and LRP have no rule here: "
        "give one logit, objectives.logit(apply, label), of a network of ReLU, ReLU6 and max-pools"
    )


def _source(jaxpr: Jaxpr, stage: str) -> Any:
    """Return the variable that a program's second output, a stage, is of the first one's making."""
    logit, var = jaxpr.outvars
    definitions, needed, left = _definitions(jaxpr), set(), [logit]
    while left:
        atom = left.pop()
        if not isinstance(atom, Literal) and atom not in needed:
            needed.add(atom)
            left += definitions[atom].invars if atom in definitions else []
    while var not in needed:
        equation = definitions.get(var)
        if equation is None or equation.primitive.name not in _RESHAPES:
            raise BadInput(f"stage={stage!r}: the logits do not come from it: give another stage")
        var = equation.invars[0]
    return var
