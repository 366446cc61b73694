// Facts about libtorch 2.11's operators, from its native_functions.yaml and the kernels that its two halves register.
#pragma once

namespace sim {

// Their CUDA kernels leave devices to TensorIterator (`device_check: NoCheck`): a CPU tensor without dimensions may stand among device
// tensors. Names without overload and trailing underscore.
constexpr const char *SCALARS_PASS =
    "__ilshift__ __irshift__ __lshift__ __rshift__ _index_put_impl _reshape_alias abs acos add addcdiv addcmul all aminmax angle "
    "any argmax argmin as_strided asin atan atan2 bernoulli binary_cross_entropy binomial bitwise_and bitwise_left_shift "
    "bitwise_not bitwise_or bitwise_right_shift bitwise_xor cauchy ceil clamp clamp_max clamp_min copysign cos cosh cumprod "
    "cumsum digamma div elu eq erf erfc erfinv exp expm1 exponential fill floor floor_divide fmax fmin fmod frac ge gelu "
    "geometric glu gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot index index_fill is_set_to isnan le leaky_relu "
    "lerp lgamma log log10 log1p log2 log_normal log_sigmoid_forward logical_and logical_not logical_or logical_xor lt "
    "masked_fill max maximum mean min minimum mse_loss mul ne neg norm normal poisson polygamma pow prod random reciprocal relu "
    "remainder renorm resize round rsqrt rsub set sigmoid sign sin sinh smooth_l1_loss softplus softshrink special_xlog1py "
    "special_zeta sqrt std std_mean sub sum tan tanh threshold trunc unfold uniform var var_mean view where xlogy zero _fused_sgd "
    "_fused_adam _fused_adamw _fused_adagrad";

// They have a CPU kernel and no CUDA kernel: the dispatcher refuses them here as it does on a card.
constexpr const char *CPU_ONLY =
    "_add_relu _convert_weight_to_int4pack_for_cpu _dyn_quant_matmul_4bit _dyn_quant_pack_4bit_weight _empty_affine_quantized "
    "_empty_per_channel_affine_quantized _foobar _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors "
    "_make_dep_token _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention_for_cpu_backward _spdiags "
    "_stack _weight_int4pack_mm_for_cpu from_file histogram mkldnn_rnn_layer mkldnn_rnn_layer_backward narrow_copy "
    "native_channel_shuffle pixel_shuffle pixel_unshuffle quantized_gru quantized_lstm slow_conv3d_forward to_mkldnn";

// They have a CUDA kernel and are composite on the CPU, or pick cuDNN on a card: caught as a whole they take the CPU's way.
constexpr const char *COMPOSITE_ON_CPU =
    "convolution _convolution convolution_backward _chunk_cat split_with_sizes_copy";

// They describe memory anew: no kernel runs.
constexpr const char *VIEWS =
    "view as_strided _reshape_alias unfold set_ resize_ is_set_to";

// Their CUDA kernels wait, for the size of the answer or for an answer on the host.
constexpr const char *SIZE_READERS =
    "nonzero masked_select _unique _unique2 unique_dim unique_consecutive bincount equal repeat_interleave histc "
    "_linalg_check_errors";

}  // namespace sim
