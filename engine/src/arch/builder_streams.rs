//! Rows beside the residual stream: parallel streams, checkpoints, and the states of a hierarchy.

use super::builder::Builder;
use crate::error::Error;
use crate::layers::{
    Branch, Correct, FirstStates, LEVELS, LastMix, Level, Merge, NextState, Open, Predict,
    SetAside, Stage, Step, TakeBack,
};
use crate::load::Part;

impl Builder<'_> {
    /// Makes `streams` of the residual stream.
    pub fn open_streams(&mut self, streams: usize) -> Result<(), Error> {
        self.streams = streams;
        let open = Open::load(&mut self.loader, streams)?;
        self.step(open);
        Ok(())
    }

    /// Predicts all streams for a layer.
    pub fn predict_streams(&mut self, layer: usize) -> Result<(), Error> {
        let predict = Predict::load(&mut self.loader.layer(layer), self.streams)?;
        self.step(predict);
        Ok(())
    }

    /// Corrects all streams by what a layer gave, and adds `input` to all but the first.
    pub fn correct_streams(&mut self, layer: usize, input: impl Part) -> Result<(), Error> {
        let correct = Correct::load(&mut self.loader.layer(layer), self.streams, input)?;
        self.step(correct);
        Ok(())
    }

    /// Makes one of all streams.
    pub fn merge_streams(&mut self) -> Result<(), Error> {
        let merge = Merge::load(&mut self.loader, self.streams)?;
        self.step(merge);
        Ok(())
    }

    /// Makes room for `checkpoints` of the residual stream, if there are any, and for the stream while it is set aside.
    pub fn open_checkpoints(&mut self, checkpoints: usize) {
        self.streams = if checkpoints > 0 { checkpoints + 1 } else { 0 };
    }

    /// Runs branches on a mix of the stream and the first `checkpoints`, whose scores are `blk.{layer}.{score}`, and adds what
    /// they give to the stream; or, where it is kept as the next checkpoint, lets it start anew from that.
    pub fn mixed_step(
        &mut self,
        (layer, score): (usize, &str),
        checkpoints: usize,
        is_kept: bool,
        branches: Vec<Branch>,
    ) -> Result<(), Error> {
        let to = if is_kept {
            checkpoints
        } else {
            self.streams - 1
        };
        let name = format!("blk.{layer}.{score}");
        let before = SetAside::load(&mut self.loader, &name, checkpoints, to)?;
        self.step(before);
        self.step(Step::new(branches).onto(0.0));
        if !is_kept {
            self.step(TakeBack { from: to });
        }
        Ok(())
    }

    /// Lets the head see a mix of the stream and all `checkpoints`, if there are any.
    pub fn mix_last(&mut self, checkpoints: usize) -> Result<(), Error> {
        if checkpoints == 0 {
            return Ok(());
        }
        let last = LastMix::load(&mut self.loader, checkpoints)?;
        self.step(last);
        Ok(())
    }

    /// Gives each token the two states of a hierarchy, and the residual stream their sum.
    pub fn first_states(&mut self) -> Result<(), Error> {
        self.streams = LEVELS;
        let first = FirstStates::load(&mut self.loader)?;
        self.step(first);
        Ok(())
    }

    /// Makes the residual stream the next state of a level, and the sum of both states the residual stream.
    pub fn next_state(&mut self, of: Level) {
        self.step(NextState { of });
    }

    /// A norm of the residual stream without weights, behind the last step.
    pub fn norm_stream(&mut self) -> Result<(), Error> {
        let norm = self.plain_norm()?;
        if let Some(Stage::Residual(step)) = self.steps.last_mut() {
            step.after = Some(norm);
        }
        Ok(())
    }
}
