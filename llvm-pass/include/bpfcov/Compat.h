//===- Compat.h - Every difference between LLVM 14 and 23, in one place ---===//
//
// The rest of the plugin is written against one imaginary LLVM. When a new major breaks the build,
// this is the file to change; nothing else tests LLVM_VERSION_MAJOR.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_COMPAT_H
#define BPFCOV_COMPAT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"

// The header moved with plugin API version 2 (LLVM 22, llvm PR 173279).
#if __has_include("llvm/Plugins/PassPlugin.h")
#include "llvm/Plugins/PassPlugin.h"
#else
#include "llvm/Passes/PassPlugin.h"
#endif

// LLVM 17 moved it out of ADT.
#if __has_include("llvm/TargetParser/Triple.h")
#include "llvm/TargetParser/Triple.h"
#else
#include "llvm/ADT/Triple.h"
#endif

#if LLVM_VERSION_MAJOR < 14
#error "bpfcov needs LLVM 14 or newer"
#endif

namespace bpfcov {
namespace compat {

inline bool startsWith(llvm::StringRef S, llvm::StringRef Prefix) {
#if LLVM_VERSION_MAJOR >= 18
  return S.starts_with(Prefix);
#else
  return S.startswith(Prefix);
#endif
}

/// Whether M is compiled for bpf, bpfel or bpfeb. The module's triple is a string up to LLVM 20,
/// and Triple::isBPF is younger than 14.
inline bool isBPF(const llvm::Module &M) {
  llvm::Triple T(M.getTargetTriple());
  return T.getArch() == llvm::Triple::bpfel || T.getArch() == llvm::Triple::bpfeb;
}

/// The type of a generic data pointer: ptr, or i8* while pointers had element types.
inline llvm::PointerType *pointerType(llvm::LLVMContext &Ctx) {
#if LLVM_VERSION_MAJOR >= 17
  return llvm::PointerType::getUnqual(Ctx);
#else
  return llvm::Type::getInt8PtrTy(Ctx);
#endif
}

/// Casts a pointer to bytes to one to Ty, where pointers have element types.
inline llvm::Value *typedPointer(llvm::IRBuilder<> &B, llvm::Value *Ptr, llvm::Type *Ty) {
#if LLVM_VERSION_MAJOR >= 17
  return Ptr;
#else
  return B.CreateBitCast(Ptr, llvm::PointerType::getUnqual(Ty));
#endif
}

/// Declares llvm.var.annotation(ptr, ptr, ptr, i32, ptr). It became overloaded on its pointers in
/// LLVM 16, and getDeclaration was renamed in 20.
inline llvm::Function *varAnnotation(llvm::Module &M) {
#if LLVM_VERSION_MAJOR >= 20
  llvm::Type *Ptr = pointerType(M.getContext());
  return llvm::Intrinsic::getOrInsertDeclaration(&M, llvm::Intrinsic::var_annotation, {Ptr, Ptr});
#elif LLVM_VERSION_MAJOR >= 16
  llvm::Type *Ptr = pointerType(M.getContext());
  return llvm::Intrinsic::getDeclaration(&M, llvm::Intrinsic::var_annotation, {Ptr, Ptr});
#else
  return llvm::Intrinsic::getDeclaration(&M, llvm::Intrinsic::var_annotation);
#endif
}

/// Whether the assembler knows stores of numbers, which every kernel has: that of 16 does not, and
/// that of 19 does.
#if LLVM_VERSION_MAJOR >= 19
constexpr bool HasStoreImmediate = true;
#else
constexpr bool HasStoreImmediate = false;
#endif

/// Declares llvm.sideeffect().
inline llvm::Function *sideEffect(llvm::Module &M) {
#if LLVM_VERSION_MAJOR >= 20
  return llvm::Intrinsic::getOrInsertDeclaration(&M, llvm::Intrinsic::sideeffect);
#else
  return llvm::Intrinsic::getDeclaration(&M, llvm::Intrinsic::sideeffect);
#endif
}

/// Declares llvm.pseudoprobe(i64 function, i64 index, i32 attributes, i64 factor).
inline llvm::Function *pseudoProbe(llvm::Module &M) {
#if LLVM_VERSION_MAJOR >= 20
  return llvm::Intrinsic::getOrInsertDeclaration(&M, llvm::Intrinsic::pseudoprobe);
#else
  return llvm::Intrinsic::getDeclaration(&M, llvm::Intrinsic::pseudoprobe);
#endif
}

/// Registers Callback(MPM, Level) at OptimizerLast, whose callback got a third argument in 20
/// (llvm PR 100953).
template <typename CallbackT>
inline void registerOptimizerLast(llvm::PassBuilder &PB, CallbackT Callback) {
#if LLVM_VERSION_MAJOR >= 20
  PB.registerOptimizerLastEPCallback(
      [Callback](llvm::ModulePassManager &MPM, llvm::OptimizationLevel Level,
                 llvm::ThinOrFullLTOPhase) { Callback(MPM, Level); });
#else
  PB.registerOptimizerLastEPCallback(
      [Callback](llvm::ModulePassManager &MPM, llvm::OptimizationLevel Level) {
        Callback(MPM, Level);
      });
#endif
}

} // namespace compat
} // namespace bpfcov

#endif // BPFCOV_COMPAT_H
