"""Our messages for gRPC beside those that the public client was built with."""

from __future__ import annotations

from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2

from serving.transport.inference_proto import METHODS, messages


def fields_of(message):
    return {
        (f.name, f.number, f.type, f.label, f.type_name, f.HasField("oneof_index"))
        for f in message.field
    }


def proto_of(descriptor):
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    return proto


def assert_alike(ours, theirs, name):
    assert fields_of(ours) == fields_of(theirs), name
    inner = {each.name: each for each in theirs.nested_type}
    for each in ours.nested_type:
        assert_alike(each, inner[each.name], f"{name}.{each.name}")
        assert each.options.map_entry == inner[each.name].options.map_entry


def test_every_message_is_that_of_the_protocol():
    for name, made in messages().items():
        if "." not in name:
            theirs = getattr(service_pb2, name)
            assert_alike(proto_of(made.DESCRIPTOR), proto_of(theirs.DESCRIPTOR), name)


def test_every_rpc_takes_and_answers_what_the_protocol_says():
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for name, (asked, answered) in METHODS.items():
        rpc = service.methods_by_name[name]
        assert (rpc.input_type.name, rpc.output_type.name) == (asked, answered)


def test_a_message_is_read_as_the_client_wrote_it():
    theirs = service_pb2.ModelInferRequest(model_name="toy", id="x", raw_input_contents=[b"1"])
    theirs.inputs.add(name="vector", datatype="FP32", shape=[1, 2])
    theirs.outputs.add(name="score").parameters["binary_data"].bool_param = True
    ours = messages()["ModelInferRequest"].FromString(theirs.SerializeToString())
    assert (ours.model_name, ours.id, list(ours.raw_input_contents)) == ("toy", "x", [b"1"])
    assert list(ours.inputs[0].shape) == [1, 2]
    assert ours.outputs[0].parameters["binary_data"].bool_param
    assert ours.SerializeToString() == theirs.SerializeToString()
