"""Child of `repghost-det bench`: runs one ONNX file in MNN or OpenVINO.

Usage: worker.py check | worker.py RUNTIME FILE.onnx THREADS WARM_UP RUNS

`check` prints the names of the runtimes that are installed. Otherwise prints the milliseconds of each timed run as a JSON list.
"""
import importlib.util
import json
import os
import sys
import time

PACKAGES = {"mnn": "MNN", "openvino": "openvino"}


def openvino(path, threads):
    import numpy as np
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = core.compile_model(path, "CPU", settings)
    request = model.create_infer_request()
    inputs = {i: np.random.rand(*port.shape).astype(np.float32) for i, port in enumerate(model.inputs)}
    for i, value in inputs.items():
        request.set_input_tensor(i, ov.Tensor(value))
    return request.infer


def mnn(path, threads):
    import MNN
    import numpy as np
    from MNN.tools import mnnconvert

    converted = path[: -len("onnx")] + "mnn"
    arguments, sys.argv = sys.argv, ["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "MNN"]
    out = os.dup(1)
    os.dup2(2, 1)  # the converter is talkative
    mnnconvert.main()
    os.dup2(out, 1)
    sys.argv = arguments
    net = MNN.Interpreter(converted)
    session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    for tensor in net.getSessionInputAll(session).values():
        shape = tensor.getShape()
        value = np.random.rand(*shape).astype(np.float32)
        tensor.copyFrom(MNN.Tensor(shape, MNN.Halide_Type_Float, value, MNN.Tensor_DimensionType_Caffe))
    return lambda: net.runSession(session)


def main():
    if sys.argv[1] == "check":
        print(" ".join(name for name, package in PACKAGES.items() if importlib.util.find_spec(package)))
        return
    runtime, path, threads, warm_up, runs = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    run = {"mnn": mnn, "openvino": openvino}[runtime](path, threads)
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps(times))


if __name__ == "__main__":
    main()
