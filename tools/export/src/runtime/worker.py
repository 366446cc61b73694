"""Child that runs one ONNX file in MNN or OpenVINO.

Usage: worker.py check | worker.py RUNTIME FILE.onnx THREADS OUTPUTS (names as a JSON list)

`check` prints the names of the runtimes that are installed. Otherwise requests come on standard input and replies go to standard output:
a line of JSON, then bytes. Request: {"inputs": [[name, shape], …], "runs": [warm_up, timed] or null}, then 32-bit floats. Reply with runs:
{"times": [milliseconds, …]}; without: {"outputs": [{"name", "shape", "integer"}, …]}, then 32-bit floats or 64-bit integers.
"""
import importlib.util
import json
import os
import sys
import time

PACKAGES = {"mnn": "MNN", "openvino": "openvino"}


def openvino(path, threads, names):
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Core().compile_model(path, "CPU", settings)
    request = model.create_infer_request()

    def feed(inputs):
        for i, (_, value) in enumerate(inputs):
            request.set_input_tensor(i, ov.Tensor(value))

    def outputs():
        # A port has several names; one of them is the file's.
        own = lambda port: next((n for n in names if n in port.get_names()), port.get_any_name())
        return [(own(port), request.get_output_tensor(i).data) for i, port in enumerate(model.outputs)]

    return feed, request.infer, outputs


def mnn(path, threads, names):
    import MNN
    import numpy as np
    from MNN.tools import mnnconvert

    converted = path[: -len("onnx")] + "mnn"
    arguments, sys.argv = sys.argv, ["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "MNN"]
    mnnconvert.main()
    sys.argv = arguments
    net = MNN.Interpreter(converted)
    session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})

    def feed(inputs):
        tensors = net.getSessionInputAll(session)
        for name, value in inputs:
            tensor = tensors[name]
            if tuple(tensor.getShape()) != value.shape:
                net.resizeTensor(tensor, value.shape)
                net.resizeSession(session)
            tensor.copyFrom(MNN.Tensor(value.shape, MNN.Halide_Type_Float, value, MNN.Tensor_DimensionType_Caffe))

    def outputs():
        found = []
        tensors = net.getSessionOutputAll(session)
        for name in names:
            tensor = tensors[name]
            integer = tensor.getDataType() == MNN.Halide_Type_Int
            kind = MNN.Halide_Type_Int if integer else MNN.Halide_Type_Float
            zeros = np.zeros(tensor.getShape(), np.int32 if integer else np.float32)
            host = MNN.Tensor(tensor.getShape(), kind, zeros, MNN.Tensor_DimensionType_Caffe)
            tensor.copyToHostTensor(host)
            found.append((name, np.array(host.getData()).reshape(tensor.getShape())))
        return found

    return feed, lambda: net.runSession(session), outputs


def serve(runtime, path, threads, names):
    import numpy as np

    # Runtimes print to standard output; replies have it to themselves.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    feed, run, outputs = {"mnn": mnn, "openvino": openvino}[runtime](path, threads, names)
    requests = sys.stdin.buffer
    while line := requests.readline():
        request = json.loads(line)
        inputs = []
        for name, shape in request["inputs"]:
            values = np.frombuffer(requests.read(4 * int(np.prod(shape))), "<f4")
            inputs.append((name, values.reshape(shape).astype(np.float32)))
        feed(inputs)
        if request["runs"]:
            warm_up, timed = request["runs"]
            for _ in range(warm_up):
                run()
            times = []
            for _ in range(timed):
                start = time.perf_counter()
                run()
                times.append(1e3 * (time.perf_counter() - start))
            replies.write(json.dumps({"times": times}).encode() + b"\n")
        else:
            run()
            found = [(name, np.ascontiguousarray(v)) for name, v in outputs()]
            described = [{"name": n, "shape": v.shape, "integer": v.dtype.kind in "iu"} for n, v in found]
            replies.write(json.dumps({"outputs": described}).encode() + b"\n")
            for _, v in found:
                replies.write(v.astype("<i8" if v.dtype.kind in "iu" else "<f4").tobytes())
        replies.flush()


if __name__ == "__main__":
    if sys.argv[1] == "check":
        print(" ".join(name for name, package in PACKAGES.items() if importlib.util.find_spec(package)))
    else:
        serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
