"""Builds ONNX files with TensorRT for RTX ahead of time, on a machine without a GPU. Usage: build_engines.py FILE...

Proves that NVIDIA's parser accepts a file and that its builder finds an implementation for every node. It can't run the engine (that
takes a GPU); numbers are checked with onnxruntime. Dynamic batches get the profile 1..8. Before that onnx.checker looks at every file,
types and shapes included. Prints a line a file; exits 1 if one fails.
"""
import sys
import time

import onnx
import tensorrt_rtx as trt

BATCHES = (1, 8, 8)


def build(path):
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(path):
        return None, "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    entrance = network.get_input(0)
    shape = tuple(entrance.shape)
    if shape[0] == -1:
        profile = builder.create_optimization_profile()
        profile.set_shape(entrance.name, *((n, *shape[1:]) for n in BATCHES))
        config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    return network.num_layers, None if engine is not None else "the builder gave no engine"


def main(paths):
    failed = 0
    for path in paths:
        start = time.time()
        try:
            onnx.checker.check_model(path, full_check=True)
            layers, why = build(path)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            layers, why = 0, f"onnx.checker: {error}"
        failed += why is not None
        name = path.rsplit("/", 1)[-1]
        print(f"{name:45} {'FAILED: ' + why if why else f'built, {layers} layers, {time.time() - start:.1f} s'}", flush=True)
    print(f"{len(paths) - failed} passed, {failed} failed")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
