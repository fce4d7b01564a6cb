"""The MediaPipe networks we run, each as a small graph: boxes in a picture, 478 points in a face crop, a person's body.

The networks (BlazeFace in two ranges; Attention Mesh, Grishchenko et al. 2020; BlazePose, Bazarevsky et al. 2020) lie inside the mediapipe wheel. They are
wired here instead of through ``mediapipe.solutions`` for three reasons: ``FaceMesh`` looks for the face again with its
own short-range detector, which loses profile and small faces that were already found; it hides the presence score; and
its boxes suppress a face that overlaps another.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from recon.detection.face import DetectorUnavailable
from recon.detection.quiet import without_lines
from recon.io.extras import pip_hint

_CHATTER = (
    "Created TensorFlow Lite XNNPACK delegate",
    "All log messages before absl::InitializeLog()",
    "inference_feedback_manager.cc",
)

# Input side in px, network, anchors. The anchors are those of the published graphs.
_DETECTORS = {
    "short": (128, "face_detection_short_range", 896, "num_layers: 4 strides: [8, 16, 16, 16]", 1.0),
    "full": (192, "face_detection_full_range_sparse", 2304, "num_layers: 1 strides: [4]", 0.0),
}
MESH_SIDE_PX = 192

_INPUT = """
input_stream: "image"
node {{
  calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:input"
  options {{ [mediapipe.ImageToTensorCalculatorOptions.ext] {{
    output_tensor_width: {side} output_tensor_height: {side} output_tensor_float_range {{ min: {low} max: 1.0 }}
  }} }}
}}
"""

_DETECTION_GRAPH = (
    _INPUT
    + """
output_stream: "detections"
node {{
  calculator: "SsdAnchorsCalculator" output_side_packet: "anchors"
  options {{ [mediapipe.SsdAnchorsCalculatorOptions.ext] {{
    input_size_width: {side} input_size_height: {side} min_scale: 0.1484375 max_scale: 0.75 {layers}
    anchor_offset_x: 0.5 anchor_offset_y: 0.5 aspect_ratios: 1.0
    interpolated_scale_aspect_ratio: {interpolated} fixed_anchor_size: true
  }} }}
}}
node {{
  calculator: "InferenceCalculator" input_stream: "TENSORS:input" output_stream: "TENSORS:output"
  options {{ [mediapipe.InferenceCalculatorOptions.ext] {{
    model_path: "mediapipe/modules/face_detection/{network}.tflite" delegate {{ xnnpack {{}} }}
  }} }}
}}
node {{
  calculator: "TensorsToDetectionsCalculator" input_stream: "TENSORS:output" input_side_packet: "ANCHORS:anchors"
  output_stream: "DETECTIONS:unfiltered"
  options {{ [mediapipe.TensorsToDetectionsCalculatorOptions.ext] {{
    num_classes: 1 num_boxes: {boxes} num_coords: 16 x_scale: {side} y_scale: {side} w_scale: {side} h_scale: {side}
    box_coord_offset: 0 keypoint_coord_offset: 4 num_keypoints: 6 num_values_per_keypoint: 2
    reverse_output_order: true sigmoid_score: true score_clipping_thresh: 100.0 min_score_thresh: {min_score}
  }} }}
}}
node {{
  calculator: "NonMaxSuppressionCalculator" input_stream: "unfiltered" output_stream: "detections"
  options {{ [mediapipe.NonMaxSuppressionCalculatorOptions.ext] {{
    min_suppression_threshold: 0.45 overlap_type: INTERSECTION_OVER_UNION algorithm: WEIGHTED
    return_empty_detections: true
  }} }}
}}
"""
)

_MESH_GRAPH = (
    _INPUT
    + """
output_stream: "landmarks"
output_stream: "score"
node {{
  calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:resolver"
  options {{ [mediapipe.TfLiteCustomOpResolverCalculatorOptions.ext] {{ use_gpu: false }} }}
}}
node {{
  calculator: "InferenceCalculator" input_stream: "TENSORS:input" output_stream: "TENSORS:output"
  input_side_packet: "OP_RESOLVER:resolver"
  options {{ [mediapipe.InferenceCalculatorOptions.ext] {{
    model_path: "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite" delegate {{ xnnpack {{}} }}
  }} }}
}}
node {{
  calculator: "SplitTensorVectorCalculator" input_stream: "output"
  output_stream: "point_tensors" output_stream: "presence"
  options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{
    ranges {{ begin: 0 end: 6 }} ranges {{ begin: 6 end: 7 }}
  }} }}
}}
node {{
  calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:presence" output_stream: "FLOAT:score"
  options {{ [mediapipe.TensorsToFloatsCalculatorOptions.ext] {{ activation: SIGMOID }} }}
}}
node {{
  calculator: "TensorsToFaceLandmarksWithAttention"
  input_stream: "TENSORS:point_tensors" output_stream: "LANDMARKS:landmarks"
}}
"""
)


class Graph:
    """A running MediaPipe graph with one picture in and one packet per output stream out.

    Start-up messages of the native library are held back; errors are not. Call :meth:`close` when done.
    """

    def __init__(self, text: str, outputs: tuple[str, ...], side_px: int) -> None:
        _check_mediapipe()
        from google.protobuf import text_format  # type: ignore[import-untyped]
        from mediapipe.calculators.core import constant_side_packet_calculator_pb2 as _constant  # noqa: F401
        from mediapipe.calculators.core import split_vector_calculator_pb2 as _split  # noqa: F401
        from mediapipe.calculators.tensor import image_to_tensor_calculator_pb2 as _image  # noqa: F401
        from mediapipe.calculators.tensor import inference_calculator_pb2 as _inference  # noqa: F401
        from mediapipe.calculators.tensor import tensors_to_detections_calculator_pb2 as _boxes  # noqa: F401
        from mediapipe.calculators.tensor import tensors_to_floats_calculator_pb2 as _floats  # noqa: F401
        from mediapipe.calculators.tflite import ssd_anchors_calculator_pb2 as _anchors  # noqa: F401
        from mediapipe.calculators.tflite import tflite_custom_op_resolver_calculator_pb2 as _ops  # noqa: F401
        from mediapipe.calculators.util import non_max_suppression_calculator_pb2 as _nms  # noqa: F401
        from mediapipe.framework import calculator_pb2
        from mediapipe.python._framework_bindings import calculator_graph, resource_util

        resource_util.set_resource_dir(str(_package_parent()))
        config = text_format.Parse(text, calculator_pb2.CalculatorGraphConfig())
        self._packets: dict[str, Any] = {}
        self._time = 0
        self._outputs = outputs
        with without_lines(*_CHATTER):
            self._graph = calculator_graph.CalculatorGraph(graph_config=config)
            for name in outputs:
                self._graph.observe_output_stream(name, self._packets.__setitem__)
            self._graph.start_run({})
            # The networks open, and talk, when the first picture arrives.
            self.run(np.zeros((side_px, side_px, 3), dtype=np.uint8))

    def run(self, image: UInt8[np.ndarray, "h w 3"]) -> Mapping[str, Any]:
        """The packets that a picture makes, by stream; a stream that gave nothing is missing."""
        from mediapipe.python import packet_creator
        from mediapipe.python._framework_bindings import image_frame

        self._packets.clear()
        self._time += 1
        picture = packet_creator.create_image_frame(
            image_format=image_frame.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        self._graph.add_packet_to_input_stream("image", picture.at(self._time))
        self._graph.wait_until_idle()
        return {name: packet for name, packet in self._packets.items() if not packet.is_empty()}

    def close(self) -> None:
        self._graph.close()


def detection_graph(kind: str, min_score: float) -> Graph:
    """The ``"short"`` range (faces that fill the picture) or ``"full"`` range (smaller faces) box network."""
    side, network, boxes, layers, interpolated = _DETECTORS[kind]
    text = _DETECTION_GRAPH.format(
        side=side,
        low=-1.0,
        network=network,
        boxes=boxes,
        layers=layers,
        interpolated=interpolated,
        min_score=min_score,
    )
    return Graph(text, ("detections",), side)


def mesh_graph() -> Graph:
    """The network that puts 478 points into a square face crop of any size."""
    return Graph(_MESH_GRAPH.format(side=MESH_SIDE_PX, low=0.0), ("landmarks", "score"), MESH_SIDE_PX)


def detection_side_px(kind: str) -> int:
    """Side of the square picture that a box network looks at."""
    return _DETECTORS[kind][0]


def _package_parent() -> Path:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise DetectorUnavailable(
            "the 'mediapipe' detector needs the package: pip install mediapipe==0.10.21 'numpy<2', on a Python before 3.13"
        )
    return Path(os.path.abspath(spec.origin)).parent.parent


def _check_mediapipe() -> None:
    networks = [f"face_detection/{network}" for _, network, *_ in _DETECTORS.values()]
    root = _package_parent() / "mediapipe" / "modules"
    for network in (*networks, "face_landmark/face_landmark_with_attention"):
        path = root / f"{network}.tflite"
        if not path.is_file():
            raise DetectorUnavailable(
                f"{path} is missing: this mediapipe carries no networks; install one that does: "
                "pip install mediapipe==0.10.21"
            )
    try:
        import mediapipe  # noqa: F401
    except ImportError as error:  # it imports OpenCV, which links libraries that minimal systems lack
        raise DetectorUnavailable(f"mediapipe cannot be imported: {pip_hint(error) or error}") from error
