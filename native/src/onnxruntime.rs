//! An operation for ONNX Runtime: look each byte of a tensor up in a table.
//!
//! Programs in int8 contain functions of one tensor, such as swish, which ONNX Runtime computes in
//! several passes. Each is one table of 256 values. ONNX Runtime loads this library, calls
//! `RegisterCustomOps`, and then the functions of `LOOKUP`. It passes its own functions as `OrtApi`,
//! so that this library is not linked with it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::{Mutex, PoisonError};

use ort_sys::{
    ONNXTensorElementDataType, ORT_API_VERSION, OrtApi, OrtApiBase, OrtCustomOp, OrtCustomOpDomain,
    OrtCustomOpInputOutputCharacteristic, OrtErrorCode, OrtKernelContext, OrtKernelInfo,
    OrtMemType, OrtSessionOptions, OrtStatusPtr, OrtValue,
};

use crate::lookup::{Table, look_up};

const DOMAIN: &CStr = c"furiosa_models";
const NAME: &CStr = c"Lookup";

/// Number of bytes that a thread takes at once.
const BLOCK: usize = 1 << 14;

const MAX_DIMENSIONS: usize = 16;

/// `Lookup(X, table) -> Y`: X and Y are tensors of uint8 with the same shape, `table` has 256 values.
static LOOKUP: OrtCustomOp = OrtCustomOp {
    version: ORT_API_VERSION,
    CreateKernel: None,
    GetName: Some(name),
    GetExecutionProviderType: Some(provider),
    GetInputType: Some(element_type),
    GetInputTypeCount: Some(input_count),
    GetOutputType: Some(element_type),
    GetOutputTypeCount: Some(output_count),
    KernelCompute: None,
    KernelDestroy: Some(destroy_kernel),
    GetInputCharacteristic: Some(characteristic),
    GetOutputCharacteristic: Some(characteristic),
    GetInputMemoryType: Some(memory_type),
    GetVariadicInputMinArity: Some(zero),
    GetVariadicInputHomogeneity: Some(zero),
    GetVariadicOutputMinArity: Some(zero),
    GetVariadicOutputHomogeneity: Some(zero),
    CreateKernelV2: Some(create_kernel),
    KernelComputeV2: Some(compute),
    InferOutputShapeFn: None,
    GetStartVersion: Some(first_version),
    GetEndVersion: Some(last_version),
    GetMayInplace: None,
    ReleaseMayInplace: None,
    GetAliasMap: None,
    ReleaseAliasMap: None,
};

/// The domains that were created, each with the address of its `OrtApi`. Sessions use them until
/// the process ends.
static DOMAINS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Make the operation known to the sessions that are created with `options`.
///
/// # Safety
///
/// Only ONNX Runtime may call this. Both pointers are valid during the call.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn RegisterCustomOps(
    options: *mut OrtSessionOptions,
    base: *const OrtApiBase,
) -> OrtStatusPtr {
    // SAFETY: ONNX Runtime passes a valid `base`; its `GetApi` returns null, or an `OrtApi` that
    // has the functions of the requested version and lives as long as the library.
    let api = unsafe { ((*base).GetApi)(ORT_API_VERSION).as_ref() };
    let Some(api) = api else {
        // Without an `OrtApi` no status can be made: the session finds no such operation.
        return OrtStatusPtr(null_mut());
    };
    let registered = domain(api).and_then(|domain| {
        // SAFETY: `options` is valid, and `domain` is never released.
        checked(unsafe { (api.AddCustomOpDomain)(options, domain) })
    });
    status(registered)
}

/// Return the domain of the operation, which is created at first.
fn domain(api: &OrtApi) -> Result<*mut OrtCustomOpDomain, OrtStatusPtr> {
    let mut domains = DOMAINS.lock().unwrap_or_else(PoisonError::into_inner);
    let address = std::ptr::from_ref(api) as usize;
    if let Some(&(_, domain)) = domains.iter().find(|(api, _)| *api == address) {
        return Ok(domain as *mut OrtCustomOpDomain);
    }
    let mut domain = null_mut();
    // SAFETY: the name ends with a zero, and is copied; `domain` can be written.
    checked(unsafe { (api.CreateCustomOpDomain)(DOMAIN.as_ptr(), &raw mut domain) })?;
    // SAFETY: `domain` was just created, and `LOOKUP` lives forever.
    checked(unsafe { (api.CustomOpDomain_Add)(domain, &raw const LOOKUP) })?;
    domains.push((address, domain as usize));
    Ok(domain)
}

/// Write the result of a run.
///
/// `kernel` is what `create_kernel` returned.
unsafe extern "system" fn compute(
    kernel: *mut c_void,
    context: *mut OrtKernelContext,
) -> OrtStatusPtr {
    // SAFETY: `create_kernel` returned the address of the `OrtApi`, which outlives all kernels.
    let api = unsafe { &*kernel.cast::<OrtApi>() };
    // SAFETY: ONNX Runtime passes a valid context of this operation.
    status(unsafe { run(api, context) })
}

/// # Safety
///
/// `context` belongs to a run of this operation.
unsafe fn run(api: &OrtApi, context: *mut OrtKernelContext) -> Result<(), OrtStatusPtr> {
    let (mut source, mut table, mut out) = (null(), null(), null_mut());
    // SAFETY: the operation has two inputs; `source` and `table` can be written.
    checked(unsafe { (api.KernelContext_GetInput)(context, 0, &raw mut source) })?;
    // SAFETY: as above.
    checked(unsafe { (api.KernelContext_GetInput)(context, 1, &raw mut table) })?;
    // SAFETY: both are inputs of this run, by the calls above.
    let (shape, table) = unsafe {
        (
            Shape::of(api, source)?,
            Shape::of(api, table)?.data(api, table)?,
        )
    };
    if table.1 != size_of::<Table>() {
        return Err(failure(api, c"Lookup: the table must have 256 values"));
    }
    // SAFETY: the operation has one output; the sizes are those of `source`.
    checked(unsafe {
        let sizes = shape.sizes.as_ptr();
        (api.KernelContext_GetOutput)(context, 0, sizes, shape.count, &raw mut out)
    })?;
    // SAFETY: `source` is an input of this run, and `out` its output, of the same shape.
    let (source, out) = unsafe { (shape.data(api, source)?, shape.data(api, out)?) };
    let job = Job {
        table: table.0.cast(),
        source: source.0,
        out: out.0,
        length: source.1,
    };
    let blocks = job.length.div_ceil(BLOCK);
    let data = (&raw const job).cast_mut().cast();
    // SAFETY: ONNX Runtime calls `look_up_block` once for each number below `blocks`, and returns
    // after the last call, so that `job` is valid in all of them.
    checked(unsafe { (api.KernelContext_ParallelFor)(context, look_up_block, blocks, 0, data) })
}

/// What the threads of a run share.
struct Job {
    table: *const Table,
    source: *const u8,
    out: *mut u8,
    length: usize,
}

/// Look up the bytes of a block.
///
/// `job` is a `Job` whose pointers are valid, and `block` starts within its length.
unsafe extern "system" fn look_up_block(job: *mut c_void, block: usize) {
    // SAFETY: `run` passes a `Job` that outlives the call.
    let job = unsafe { &*job.cast::<Job>() };
    let start = block * BLOCK;
    let length = BLOCK.min(job.length - start);
    // SAFETY: `source` and `out` are different tensors of `job.length` bytes, of which this block
    // is a part; no other thread writes to it. The table has 256 bytes.
    let (table, source, out) = unsafe {
        (
            &*job.table,
            slice::from_raw_parts(job.source.add(start), length),
            slice::from_raw_parts_mut(job.out.add(start), length),
        )
    };
    look_up(table, source, out);
}

/// The sizes of a tensor.
struct Shape {
    sizes: [i64; MAX_DIMENSIONS],
    count: usize,
}

impl Shape {
    /// Return the shape of a tensor.
    ///
    /// # Safety
    ///
    /// `tensor` is a tensor of a run.
    unsafe fn of(api: &OrtApi, tensor: *const OrtValue) -> Result<Self, OrtStatusPtr> {
        let mut info = null_mut();
        // SAFETY: `tensor` is a tensor, and `info` can be written.
        checked(unsafe { (api.GetTensorTypeAndShape)(tensor, &raw mut info) })?;
        let mut shape = Self {
            sizes: [0; MAX_DIMENSIONS],
            count: 0,
        };
        // SAFETY: `info` was just created; the count can be written.
        let mut result = checked(unsafe { (api.GetDimensionsCount)(info, &raw mut shape.count) });
        if result.is_ok() && shape.count > MAX_DIMENSIONS {
            result = Err(failure(
                api,
                c"Lookup: the tensor has more than 16 dimensions",
            ));
        }
        if result.is_ok() {
            let sizes = shape.sizes.as_mut_ptr();
            // SAFETY: `sizes` has room for `count` numbers, which was checked above.
            result = checked(unsafe { (api.GetDimensions)(info, sizes, shape.count) });
        }
        // SAFETY: `info` was created above, and is not used any more.
        unsafe { (api.ReleaseTensorTypeAndShapeInfo)(info) };
        result.map(|()| shape)
    }

    /// Return the address and the number of the bytes of a tensor.
    ///
    /// # Safety
    ///
    /// `tensor` is a tensor of uint8 of this shape.
    unsafe fn data(
        &self,
        api: &OrtApi,
        tensor: *const OrtValue,
    ) -> Result<(*mut u8, usize), OrtStatusPtr> {
        let mut data = null_mut();
        // SAFETY: `tensor` is a tensor, and `data` can be written.
        checked(unsafe { (api.GetTensorMutableData)(tensor.cast_mut(), &raw mut data) })?;
        let sizes = self.sizes.iter().take(self.count);
        let length = sizes
            .map(|&size| usize::try_from(size).unwrap_or(0))
            .product();
        Ok((data.cast(), length))
    }
}

/// Keep the address of the functions for `compute`; a kernel has no other state.
unsafe extern "system" fn create_kernel(
    _op: *const OrtCustomOp,
    api: *const OrtApi,
    _info: *const OrtKernelInfo,
    kernel: *mut *mut c_void,
) -> OrtStatusPtr {
    // SAFETY: ONNX Runtime passes a place for the kernel.
    unsafe { kernel.write(api.cast_mut().cast()) };
    OrtStatusPtr(null_mut())
}

unsafe extern "system" fn destroy_kernel(_kernel: *mut c_void) {}

unsafe extern "system" fn name(_op: *const OrtCustomOp) -> *const c_char {
    NAME.as_ptr()
}

unsafe extern "system" fn provider(_op: *const OrtCustomOp) -> *const c_char {
    null() // the CPU
}

unsafe extern "system" fn element_type(
    _op: *const OrtCustomOp,
    _index: usize,
) -> ONNXTensorElementDataType {
    ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
}

unsafe extern "system" fn input_count(_op: *const OrtCustomOp) -> usize {
    2
}

unsafe extern "system" fn output_count(_op: *const OrtCustomOp) -> usize {
    1
}

unsafe extern "system" fn characteristic(
    _op: *const OrtCustomOp,
    _index: usize,
) -> OrtCustomOpInputOutputCharacteristic {
    OrtCustomOpInputOutputCharacteristic::INPUT_OUTPUT_REQUIRED
}

unsafe extern "system" fn memory_type(_op: *const OrtCustomOp, _index: usize) -> OrtMemType {
    OrtMemType::OrtMemTypeDefault
}

unsafe extern "system" fn zero(_op: *const OrtCustomOp) -> c_int {
    0
}

unsafe extern "system" fn first_version(_op: *const OrtCustomOp) -> c_int {
    1
}

unsafe extern "system" fn last_version(_op: *const OrtCustomOp) -> c_int {
    c_int::MAX
}

/// Return the error of a status, if it has one.
fn checked(status: OrtStatusPtr) -> Result<(), OrtStatusPtr> {
    if status.0.is_null() {
        Ok(())
    } else {
        Err(status)
    }
}

fn status(result: Result<(), OrtStatusPtr>) -> OrtStatusPtr {
    result.err().unwrap_or(OrtStatusPtr(null_mut()))
}

fn failure(api: &OrtApi, message: &CStr) -> OrtStatusPtr {
    // SAFETY: the message ends with a zero, and is copied.
    unsafe { (api.CreateStatus)(OrtErrorCode::ORT_INVALID_ARGUMENT, message.as_ptr()) }
}
