//! One walk of a batch through a network, and back.
//!
//! A network is a stack of image layers, possibly none, then one of flat layers. Burn's automatic
//! differentiation keeps all graphs of the process behind one lock, which many threads with small
//! models would spend their time on. So only the image layers use it; the flat ones and the loss
//! are differentiated by hand.

use crate::{
    flat::FlatLayers,
    image::ImageLayers,
    pass::{Gradient, Gradients, Losses, Pass, values},
};

impl Pass<'_> {
    /// Appends the logits, rows x classes. The batch has at least one row.
    pub(crate) fn logits(&self, out: &mut Vec<f32>) {
        let (_, flat) = self.forward(&mut Gradients::default());
        out.extend_from_slice(values(&flat.output.transpose().into_data()));
    }

    /// Weighted mean loss, and the sum of the rows' squared losses; the gradient replaces `grad`. The batch has at least one
    /// row. If the batch asks for them, the logits replace `seen`.
    pub(crate) fn backward(&self, grad: &mut [f32], seen: &mut Vec<f32>) -> (f32, f64) {
        let (gradients, losses) = self.back(seen);
        gradients.write(losses, grad)
    }

    /// As [`backward`](Self::backward), and all of it stays on the device.
    pub(crate) fn found(&self, seen: &mut Vec<f32>) -> (Vec<Gradient>, Losses) {
        let (gradients, losses) = self.back(seen);
        (gradients.all(), losses)
    }

    fn back(&self, seen: &mut Vec<f32>) -> (Gradients, Losses) {
        let mut gradients = Gradients::wanted();
        let (image, flat) = self.forward(&mut gradients);
        if self.batch.keep_logits {
            seen.clear();
            seen.extend_from_slice(values(&flat.output.clone().transpose().into_data()));
        }
        let (losses, slope) = match self.batch.aims.is_empty() {
            true => self.loss(flat.output.clone()),
            false => self.aimed_loss(flat.output.clone()),
        };
        let image_trains = image.as_ref().is_some_and(ImageLayers::trains);
        let slope = flat.backward(slope, image_trains, &mut gradients);
        if let (Some(image), Some(slope)) = (image, slope) {
            image.backward(slope, &mut gradients);
        }
        (gradients, losses)
    }

    /// Notes the steps of running statistics in `gradients`, where the mode has them follow the batch.
    fn forward(&self, gradients: &mut Gradients) -> (Option<ImageLayers>, FlatLayers) {
        let mut entries = self.network.layout().entries().iter();
        let image = ImageLayers::forward(self, &mut entries, gradients);
        let (first, columns) = match &image {
            Some(image) => (image.layers, image.columns()),
            None => (
                0,
                self.columns(self.batch.inputs.clone(), self.network.inputs()),
            ),
        };
        let flat = FlatLayers::forward(self, first, columns, &mut entries, gradients);
        (image, flat)
    }
}
