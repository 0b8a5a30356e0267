"""Kernels and bytes read off the text of a compiled program: known answers."""

import pytest

from rrjax.bench import hlo
from rrjax.bench.hlo import Kernel

# An attack of 7 steps, of which each is a convolution, a fusion and a copy; around it a product, a
# reduction, a prefetch into a TPU's VMEM and a sum over devices.
PROGRAM = """HloModule jit_step, is_scheduled=true

%added (param_0.1: bf16[2,8], param_1.1: bf16[2,8]) -> bf16[2,8] {
  %param_0.1 = bf16[2,8]{1,0} parameter(0)
  %param_1.1 = bf16[2,8]{1,0} parameter(1)
  ROOT %add.1 = bf16[2,8]{1,0} add(%param_0.1, %param_1.1), metadata={op_name="a(b)/add"}
}

%summed (param_0.2: f32[100]) -> f32[] {
  %param_0.2 = f32[100]{0} parameter(0)
  %zero = f32[] constant(0)
  ROOT %reduce.1 = f32[] reduce(%param_0.2, %zero), dimensions={0}, to_apply=%sum
}

%step (arg: (s32[], bf16[2,8], bf16[8,8])) -> (s32[], bf16[2,8], bf16[8,8]) {
  %arg = (s32[], /*index=1*/bf16[2,8]{1,0:T(8,128)(2,1)}, bf16[8,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %x = bf16[2,8]{1,0:T(8,128)(2,1)} get-tuple-element(%arg), index=1
  %w = bf16[8,8]{1,0} get-tuple-element(%arg), index=2
  %conv = (bf16[2,8]{1,0}, u8[0]{0}) custom-call(%x, %w), custom_call_target="__cudnn$convForward"
  %y = bf16[2,8]{1,0} get-tuple-element(%conv), index=0
  %fusion.1 = bf16[2,8]{1,0} fusion(%y, %x), kind=kLoop, calls=%added
  %copy.1 = bf16[2,8]{0,1} copy(%fusion.1)
  ROOT %tuple.1 = (s32[], bf16[2,8]{1,0}, bf16[8,8]{1,0}) tuple(%i, %copy.1, %w)
}

%more (arg.2: (s32[], bf16[2,8], bf16[8,8])) -> pred[] {
  %arg.2 = (s32[], bf16[2,8]{1,0}, bf16[8,8]{1,0}) parameter(0)
  ROOT %true = pred[] constant(true)
}

ENTRY %main (x0: bf16[2,8], w0: bf16[8,8], v0: f32[100]) -> f32[] {
  %x0 = bf16[2,8]{1,0} parameter(0)
  %w0 = bf16[8,8]{1,0} parameter(1)
  %v0 = f32[100]{0:T(128)} parameter(2)
  %zero.1 = s32[] constant(0)
  %start = (s32[], bf16[2,8]{1,0}, bf16[8,8]{1,0}) tuple(%zero.1, %x0, %w0)
  %while.1 = (s32[], bf16[2,8]{1,0}, bf16[8,8]{1,0}) while(%start), body=%step TRIPS
  %end = bf16[2,8]{1,0} get-tuple-element(%while.1), index=1
  %dot.1 = bf16[2,8]{1,0} dot(%end, %w0), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %near = (f32[100]{0:T(128)S(1)}, f32[100]{0:T(128)}, u32[]{:S(2)}) copy-start(%v0)
  %near.1 = f32[100]{0:T(128)S(1)} copy-done(%near)
  %fusion.2 = f32[] fusion(%near.1), kind=kInput, calls=%summed
  %part = ((f32[100]{0:T(128)}), f32[20]{0:S(1)}, s32[]{:S(2)}) slice-start(%v0), slice={[0:20]}
  %part.1 = f32[20]{0:S(1)} slice-done(%part)
  %joined = f32[100]{0:S(1)} custom-call(%part.1), custom_call_target="ConcatBitcast"
  %near.2 = f32[]{:S(1)} copy(%fusion.2)
  %sent = f32[] all-reduce-start(%near.2), replica_groups={{0,1}}, to_apply=%sum
  ROOT %sent.1 = f32[] all-reduce-done(%sent)
}
"""
ITERATION = [
    Kernel("convolution", 32 + 128 + 32, 0),
    Kernel("elementwise", 3 * 32, 0),
    Kernel("copy", 2 * 32, 0),
]
REST = [
    Kernel("product", 32 + 128 + 32, 0),
    Kernel("prefetch", 400, 0),  # its destination lies in VMEM, and so does what the sum reads
    Kernel("reduction", 4, 0),
    Kernel("prefetch", 80, 0),
    Kernel("copy", 4, 0),
    Kernel("collective", 4, 4),
]


def entry(trips=', backend_config={"known_trip_count":{"n":"7"}}'):
    return hlo.read(PROGRAM.replace(" TRIPS", trips))


def test_an_iteration_and_what_surrounds_the_loop():
    block = entry()
    body = hlo.heaviest_loop(block)
    assert hlo.unrolled(body) == ITERATION
    assert hlo.unrolled(block, without=body) == REST


@pytest.mark.parametrize(("trips", "times"), [(None, 7), ("", 1)])
def test_a_loop_counts_as_often_as_it_is_known_to_run(trips, times):
    block = entry() if trips is None else entry(trips)
    assert hlo.unrolled(block) == REST + times * ITERATION


def test_kinds_are_summed_the_most_bytes_first():
    assert hlo.by_kind(ITERATION + ITERATION[:1]) == {
        "all": {"kernels": 4, "bytes": 544},
        "convolution": {"kernels": 2, "bytes": 384},
        "elementwise": {"kernels": 1, "bytes": 96},
        "copy": {"kernels": 1, "bytes": 64},
    }
    assert hlo.by_kind([]) == {"all": {"kernels": 0, "bytes": 0}}


def test_without_a_loop_and_without_an_entry():
    text = "ENTRY %main (x: f32[4]) -> f32[4] {\n  ROOT %x = f32[4]{0} parameter(0)\n}\n"
    assert hlo.heaviest_loop(hlo.read(text)) is None
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.read("HloModule empty\n")


CALLS = """
%one (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %copy.2 = f32[4]{0} copy(%p)
}

%two (q: f32[4]) -> f32[4] {
  %q = f32[4]{0} parameter(0)
  %exp = f32[4]{0} exponential(%q)
  ROOT %copy.3 = f32[4]{0} copy(%exp)
}

ENTRY %main (which: s32[], x: f32[4]) -> f32[4] {
  %which = s32[] parameter(0)
  %x = f32[4]{0} parameter(1)
  %called = f32[4]{0} call(%x), to_apply=%one
  ROOT %out = f32[4]{0} conditional(%which, %called, %x), branch_computations={%one, %two}
}
"""


def test_calls_count_and_of_branches_the_one_that_moves_most():
    copy, other = Kernel("copy", 32, 0), Kernel("other", 32, 0)
    assert hlo.unrolled(hlo.read(CALLS)) == [copy, other, copy]


SLICES = """
%fused (p0: f32[100], p1: s32[], p2: f32[100]) -> f32[10] {
  %p0 = f32[100]{0} parameter(0)
  %p2 = f32[100]{0} parameter(2)
  %p1 = s32[] parameter(1)
  %first = f32[10]{0} slice(%p0), slice={[0:10]}
  %second = f32[10]{0} dynamic-slice(%p0, %p1), dynamic_slice_sizes={10}
  %sum.1 = f32[10]{0} add(%first, %second)
  %all = f32[] reduce(%p2, %p2), dimensions={0}, to_apply=%sum
  ROOT %out.1 = f32[10]{0} add(%sum.1, %all)
}

ENTRY %main (x: f32[100], i: s32[], y: f32[100]) -> f32[5] {
  %x = f32[100]{0} parameter(0)
  %i = s32[] parameter(1)
  %y = f32[100]{0} parameter(2)
  %fusion = f32[10]{0} fusion(%x, %i, %y), kind=kLoop, calls=%fused
  ROOT %slice.1 = f32[5]{0} slice(%fusion), slice={[0:5]}
}
"""


def test_of_what_is_sliced_the_slices_are_read():
    fusion = Kernel("reduction", 2 * 40 + 4 + 400 + 40, 0)
    assert hlo.unrolled(hlo.read(SLICES)) == [fusion, Kernel("copy", 20 + 20, 0)]
